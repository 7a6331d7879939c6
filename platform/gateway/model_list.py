"""GET /v1/models: what is sold of what a key may use, at what its organization pays, as OpenAI's clients know it."""

from datetime import datetime
from typing import Any

import orjson

from billing.pricing import described
from billing.terms import terms_of
from gateway.endpoints import MODELS_PATH
from gateway.errors import refusal
from gateway.keyring import Identity
from gateway.matching import model_allowed
from gateway.offer import Offer, OfferedModel
from gateway.verdicts import Verdict
from hotstate.records import OrganizationRecord


def covers(path: str) -> bool:
    """Whether that, below /v1, is the list's path or a model's."""
    return path == MODELS_PATH or path.startswith(MODELS_PATH + "/")


def listing(path: str, identity: Identity, offer: Offer, at: datetime) -> bytes:
    """The list of that moment, or the model that the path names. Raises ApiError where the key has no such model."""
    record, organization = identity.record, identity.organization
    available = {name: model for name in offer.models if (model := offer.available(name, at)) and model.routes}
    sold_to_all = terms_of(organization, at).models
    mine = {
        name: model
        for name, model in available.items()
        if model_allowed(name, record.models) and model_allowed(name, sold_to_all)
    }
    wanted = path.removeprefix(MODELS_PATH).removeprefix("/")
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
        "pricing": _pricing(model, offer, at, organization),
    }


def _pricing(
    model: OfferedModel, offer: Offer, at: datetime, organization: OrganizationRecord
) -> dict[str, Any] | None:
    """What the organization pays, whatever the time of day; None where it has no price."""
    found = offer.prices.nearest(model.pk, at, terms_of(organization, at))
    return described(*found) if found else None


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
