"""Refunds."""

from devstack.stripeserver import refunding
from devstack.stripeserver.account import Account
from devstack.stripeserver.api.listing import created, page, paged
from devstack.stripeserver.api.parameters import amount, merged, metadata, one_of, text
from devstack.stripeserver.api.problems import invalid, malformed
from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.store import Json

URL = "/v1/refunds"
CREATE = {
    "amount": amount,
    "charge": text,
    "metadata": metadata,
    "payment_intent": text,
    "reason": one_of("duplicate", "fraudulent", "requested_by_customer"),
}


def create(account: Account, given: Json) -> Json:
    charge = _charge(account, given)
    extra = merged({}, given.get("metadata") or {})
    return refunding.refund(account, charge, given.get("amount"), given.get("reason"), extra)


def update(account: Account, given: Json) -> Json:
    refund = account.find("refund", given["id"])
    if "metadata" in given:
        refund["metadata"] = merged(refund["metadata"], given["metadata"])
    account.announce("refund.updated", refund)
    return refund


def _charge(account: Account, given: Json) -> Json:
    if bool(given.get("charge")) == bool(given.get("payment_intent")):
        raise malformed(
            "One of the following params should be provided: charge or payment_intent.", "parameter_missing"
        )
    if given.get("charge"):
        return account.find("charge", given["charge"], "charge")
    intent = account.find("payment_intent", given["payment_intent"], "payment_intent")
    if intent["status"] != "succeeded":
        text = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise invalid(text, param="payment_intent")
    return account.find("charge", intent["latest_charge"], "charge")


def _list(account: Account, given: Json) -> Json:
    wanted = {name: given.get(name) for name in ("charge", "payment_intent")}
    return page(account, "refund", given, URL, **wanted)


ROUTES = (
    Route("POST", URL, create, CREATE),
    Route("GET", URL, _list, paged(created=created, charge=text, payment_intent=text)),
    Route("GET", URL + "/{id}", lambda account, given: account.find("refund", given["id"])),
    Route("POST", URL + "/{id}", update, {"metadata": metadata}),
)
