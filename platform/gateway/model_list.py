"""GET /v1/models: what is sold of what a key may use, as OpenAI's clients know it."""

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


def listing(path: str, record: KeyRecord, offer: Offer) -> bytes:
    """The list, or the model that the path names. Raises ApiError where the key has no such model."""
    mine = {name: model for name, model in offer.models.items() if model.routes and model_allowed(name, record.models)}
    wanted = path.removeprefix(MODELS_PATH).removeprefix("/")
    if not wanted:
        return orjson.dumps({"object": "list", "data": [_described(mine[name]) for name in sorted(mine)]})
    if wanted not in mine:
        raise refusal(Verdict.MODEL_NOT_FOUND, wanted)
    return orjson.dumps(_described(mine[wanted]))


def _described(model: OfferedModel) -> dict[str, object]:
    return {"id": model.public_id, "object": "model", "created": model.created, "owned_by": model.owned_by}
