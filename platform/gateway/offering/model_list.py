"""GET /v1/models: what is sold now of what a key may use, at its organization's prices, as OpenAI's clients know it."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from urllib.parse import parse_qs

import orjson
from django.conf import settings

from billing.pricing import described
from billing.tariff import Tariff
from billing.terms import terms_of
from gateway import errors
from gateway.asking.endpoints import MODELS_PATH
from gateway.deciding.keyring import Identity
from gateway.deciding.matching import any_allowed
from gateway.deciding.verdicts import Verdict
from gateway.errors import refusal
from gateway.offering.offer import Offer, OfferedAlias, OfferedModel

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
    record = identity.record
    terms = terms_of(identity.organization, at)
    available = {
        name: (model, prices)
        for name in offer.models
        if (model := offer.available(name, at))
        and model.routes
        and (prices := offer.prices.nearest(model.pk, at, terms))
    }

    def usable(*names: str) -> bool:
        return any_allowed(names, record.models) and any_allowed(names, terms.models)

    def listed(*, hidden: bool) -> bool:
        return bool(wanted or record.models or not hidden)

    mine: dict[str, Callable[[], dict[str, object]]] = {}
    for name, (model, prices) in available.items():
        if usable(name) and listed(hidden=model.hidden):
            mine[name] = partial(_described, model, *prices)
    for name, alias in offer.aliases.items():
        models = [available[one][0] for one in alias.models if one in available and usable(name, one)]
        if models and offer.alias(name) and listed(hidden=alias.hidden):
            mine[name] = partial(_alias, alias, models)
    if not wanted:
        return orjson.dumps({"object": "list", "data": [mine[name]() for name in sorted(mine)]})
    if wanted not in mine:
        raise refusal(Verdict.MODEL_NOT_FOUND, wanted)
    return orjson.dumps(mine[wanted]())


def _alias(alias: OfferedAlias, models: list[OfferedModel]) -> dict[str, object]:
    """The most that one of its models takes. Each has prices of its own."""
    owners = {model.owned_by for model in models}
    return {
        "id": alias.public_id,
        "object": "model",
        "created": alias.created,
        "owned_by": owners.pop() if len(owners) == 1 else "several",
        "deprecated_at": None,
        "shut_down_at": None,
        "successor": None,
        "context_length": max(model.context_window for model in models),
        "max_output_tokens": max(model.max_output_tokens for model in models),
        "pricing": None,
        "stands_for": [model.public_id for model in models if not model.hidden],
        "chooses_by": alias.choice,
    }


def _described(model: OfferedModel, tariff: Tariff, discount: int | None) -> dict[str, object]:
    """What the organization pays is told for the day and the night alike."""
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
        "pricing": described(tariff, discount),
    }


def _of_pictures(model: OfferedModel) -> dict[str, object]:
    """What its pictures may be, where that is limited."""
    limits = {"aspect_ratios": list(model.aspect_ratios), "image_sizes": list(model.image_sizes)}
    return {name: allowed for name, allowed in limits.items() if allowed}


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
