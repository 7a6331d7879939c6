"""GET /v1/models: what is sold of what a key may use, at what its organization pays, as OpenAI's clients know it."""

from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import orjson
from django.conf import settings

from billing.pricing import described
from billing.terms import terms_of
from gateway import errors
from gateway.endpoints import MODELS_PATH
from gateway.errors import refusal
from gateway.keyring import Identity
from gateway.matching import model_allowed
from gateway.offer import Offer, OfferedModel
from gateway.verdicts import Verdict
from hotstate.records import OrganizationRecord

INFO_PATH = "/model/info"


def covers(path: str) -> bool:
    """Whether that, below the base, is the list's path or a model's."""
    if path == INFO_PATH:
        return "model_info" in settings.DIALECT.extra_endpoints
    return path == MODELS_PATH or path.startswith(MODELS_PATH + "/")


def wanted(path: str, query: str) -> str:
    """The model that the URL names; empty: all of them. Raises ApiError."""
    if path != INFO_PATH:
        return path.removeprefix(MODELS_PATH).removeprefix("/")
    named = parse_qs(query).get("model", [])
    if len(named) != 1:
        raise errors.bad_request("Name one model: /model/info?model=MODEL_ID.", param="model")
    return named[0]


def listing(wanted: str, identity: Identity, offer: Offer, at: datetime) -> bytes:
    """The list of that moment, or one model. Raises ApiError where the key has no such model."""
    record, organization = identity.record, identity.organization
    available = {name: model for name in offer.models if (model := offer.available(name, at)) and model.routes}
    sold_to_all = terms_of(organization, at).models
    mine = {
        name: model
        for name, model in available.items()
        if model_allowed(name, record.models) and model_allowed(name, sold_to_all)
    }
    if not wanted:
        listed = [mine[name] for name in sorted(mine) if record.models or not mine[name].hidden]
        data = [_described(model, offer, at, organization) for model in listed]
        return orjson.dumps({"object": "list", "data": data})
    if wanted not in mine:
        raise refusal(Verdict.MODEL_NOT_FOUND, wanted)
    return orjson.dumps(_described(mine[wanted], offer, at, organization))


def _described(model: OfferedModel, offer: Offer, at: datetime, organization: OrganizationRecord) -> dict[str, object]:
    return {
        "id": model.public_id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "deprecated_at": _moment(model.deprecated_at),
        "shut_down_at": _moment(model.shut_down_at),
        "successor": model.successor,
        "context_length": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        **_of_pictures(model),
        "pricing": _pricing(model, offer, at, organization),
    }


def _of_pictures(model: OfferedModel) -> dict[str, object]:
    """What its pictures may be, where that is limited."""
    limits = {"aspect_ratios": list(model.aspect_ratios), "image_sizes": list(model.image_sizes)}
    return {name: allowed for name, allowed in limits.items() if allowed}


def _pricing(
    model: OfferedModel, offer: Offer, at: datetime, organization: OrganizationRecord
) -> dict[str, Any] | None:
    """What the organization pays, whatever the time of day; None where it has no price."""
    found = offer.prices.nearest(model.pk, at, terms_of(organization, at))
    return described(*found) if found else None


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
