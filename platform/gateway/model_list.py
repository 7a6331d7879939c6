"""GET /v1/models: what is sold of what a key may use, as OpenAI's clients know it."""

from datetime import datetime

import orjson

from gateway.endpoints import MODELS_PATH
from gateway.errors import refusal
from gateway.matching import model_allowed
from gateway.offer import Offer, OfferedModel
from gateway.verdicts import Verdict
from hotstate.records import KeyRecord


def covers(path: str) -> bool:
    """Whether that, below /v1, is the list's path or a model's."""
    return path == MODELS_PATH or path.startswith(MODELS_PATH + "/")


def listing(path: str, record: KeyRecord, offer: Offer, at: datetime) -> bytes:
    """The list of that moment, or the model that the path names. Raises ApiError where the key has no such model."""
    available = {name: model for name in offer.models if (model := offer.available(name, at)) and model.routes}
    mine = {name: model for name, model in available.items() if model_allowed(name, record.models)}
    wanted = path.removeprefix(MODELS_PATH).removeprefix("/")
    if not wanted:
        listed = [mine[name] for name in sorted(mine) if record.models or not mine[name].hidden]
        return orjson.dumps({"object": "list", "data": [_described(model) for model in listed]})
    if wanted not in mine:
        raise refusal(Verdict.MODEL_NOT_FOUND, wanted)
    return orjson.dumps(_described(mine[wanted]))


def _described(model: OfferedModel) -> dict[str, object]:
    return {
        "id": model.public_id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "deprecated_at": _moment(model.deprecated_at),
        "shut_down_at": _moment(model.shut_down_at),
        "successor": model.successor,
    }


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
