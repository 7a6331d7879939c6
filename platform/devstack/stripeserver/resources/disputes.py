"""Disputes."""

from devstack.stripeserver import disputing
from devstack.stripeserver.account import Account
from devstack.stripeserver.api.listing import created, page, paged
from devstack.stripeserver.api.parameters import boolean, hash_of, merged, metadata, text
from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.objects.dispute import EVIDENCE
from devstack.stripeserver.store import Json

URL = "/v1/disputes"
UPDATE = {"evidence": hash_of(dict.fromkeys(EVIDENCE, text)), "metadata": metadata, "submit": boolean}


def update(account: Account, given: Json) -> Json:
    dispute = account.find("dispute", given["id"], "dispute")
    if "metadata" in given:
        dispute["metadata"] = merged(dispute["metadata"], given["metadata"])
    if given.get("evidence") or given.get("submit"):
        disputing.answer(account, dispute, given.get("evidence") or {}, submit=given.get("submit", True))
    return dispute


def close(account: Account, given: Json) -> Json:
    """The merchant gives in."""
    dispute = account.find("dispute", given["id"], "dispute")
    disputing.close(account, dispute, "lost")
    return dispute


def _list(account: Account, given: Json) -> Json:
    wanted = {name: given.get(name) for name in ("charge", "payment_intent")}
    return page(account, "dispute", given, URL, **wanted)


ROUTES = (
    Route("GET", URL, _list, paged(created=created, charge=text, payment_intent=text)),
    Route("GET", URL + "/{id}", lambda account, given: account.find("dispute", given["id"], "dispute")),
    Route("POST", URL + "/{id}", update, UPDATE),
    Route("POST", URL + "/{id}/close", close),
)
