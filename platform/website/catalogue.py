"""What everybody may see of models and prices: read once for each state of the catalogue, and kept in this process."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import orjson

from billing.meters import LABELS, METERS
from billing.models import PriceVersion
from billing.pricing import described
from billing.rate_card import tariff_of
from billing.tariff import Tariff, UnitPrice
from catalog.models import FAMILIES, Alias, Choice, LifeState, Model, Visibility
from hotstate.catalogue import catalogue_version
from hotstate.errors import Unreachable

# Whatever the version says, it is read again after so long.
LONGEST = timedelta(minutes=1)
SORTS = {"model": "Model", "input": "Input price", "output": "Output price", "context": "Context", "newest": "Newest"}
TRIES = {
    Choice.ORDER: "The first named",
    Choice.PRICE: "The cheapest for you",
    Choice.LATENCY: "The quickest lately",
}
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Priced:
    """One version of a model's public prices."""

    starts: datetime
    tariff: Tariff

    @property
    def by_meter(self) -> dict[str, UnitPrice]:
        """What every request costs that reaches no tier and has no variant."""
        return {price.meter: price for price in self.in_order if not price.from_input_tokens and not price.variant}

    @property
    def in_order(self) -> list[UnitPrice]:
        order = {meter: place for place, meter in enumerate(METERS)}
        return sorted(self.tariff.unit_prices, key=lambda one: (order[one.meter], one.from_input_tokens, one.variant))

    @property
    def others(self) -> list[tuple[str, UnitPrice]]:
        """Label and price of what is charged beside plain input and output."""
        usual = ("input_tokens", "output_tokens")
        return [(LABELS[meter], price) for meter, price in self.by_meter.items() if meter not in usual]

    @property
    def tiers(self) -> int:
        return len(self.tariff.starts)

    @property
    def variants(self) -> int:
        return len({price.variant for price in self.tariff.unit_prices} - {""})


@dataclass(frozen=True)
class Listed:
    """A model for sale, its prices in force and those to come."""

    model: Model
    state: LifeState
    price: Priced
    coming: list[Priced]

    @property
    def successor(self) -> str | None:
        """What to use instead, where everybody may know of that."""
        other = self.model.successor
        return other.public_id if other and other.visibility == Visibility.PUBLIC else None

    def described(self) -> dict[str, Any]:
        """As JSON: dollars per unit are decimal strings."""
        model = self.model
        return {
            "id": model.public_id,
            "object": "model",
            "created": int(model.created_at.timestamp()),
            "owned_by": model.owned_by,
            "name": model.name,
            "description": model.description,
            "families": model.families,
            "context_length": model.context_window,
            "max_output_tokens": model.max_output_tokens,
            "aspect_ratios": model.aspect_ratios,
            "image_sizes": model.image_sizes,
            "most_images": model.most_images,
            "deprecated_at": written(model.deprecated_at),
            "shut_down_at": written(model.shut_down_at),
            "successor": self.successor,
            "pricing": described(self.price.tariff),
            "priced_since": written(self.price.starts),
            "coming": [{"from": written(one.starts), "pricing": described(one.tariff)} for one in self.coming],
        }


@dataclass(frozen=True)
class ListedAlias:
    """A name for several models, in their order; those that are for sale to everybody."""

    public_id: str
    name: str
    choice: Choice
    models: list[Listed]

    @property
    def tries(self) -> str:
        """Which of them is tried first."""
        return TRIES[self.choice]

    def described(self) -> dict[str, Any]:
        """As JSON."""
        stands_for = [listed.model.public_id for listed in self.models]
        return {"id": self.public_id, "name": self.name, "stands_for": stands_for, "chooses_by": self.choice.value}


@dataclass(frozen=True)
class Catalogue:
    """One state of it, right from `read_at` until `until`."""

    models: list[Listed]
    aliases: list[ListedAlias]
    version: str | None
    read_at: datetime
    until: datetime

    @cached_property
    def tables(self) -> dict[tuple[str, ...], str]:
        """Rendered tables by what was asked: hundreds of rows take longer than everything else."""
        return {}

    @cached_property
    def by_id(self) -> dict[str, Listed]:
        return {listed.model.public_id: listed for listed in self.models}

    @cached_property
    def json(self) -> bytes:
        data = [listed.described() for listed in self.models]
        return orjson.dumps({"object": "list", "data": data, "aliases": [one.described() for one in self.aliases]})

    def aliases_of(self, model_id: str) -> list[ListedAlias]:
        return [alias for alias in self.aliases if any(one.model.public_id == model_id for one in alias.models)]

    @property
    def example(self) -> str:
        """The id that snippets name: the first model that chats."""
        chatting = (listed.model.public_id for listed in self.models if "chat" in listed.model.families)
        return next(chatting, "your-model")

    def found(self, query: str, family: str, sort: str) -> list[Listed]:
        """Those whose id, name, owner or description has the words, and that serve the family."""
        words = query.lower().split()
        shown = [
            listed
            for listed in self.models
            if (not family or family in listed.model.families) and all(word in _text(listed.model) for word in words)
        ]
        if sort in ("input", "output"):
            return sorted(shown, key=lambda listed: dearness(listed.price.by_meter.get(f"{sort}_tokens")))
        if sort == "context":
            return sorted(shown, key=lambda listed: -listed.model.context_window)
        return sorted(shown, key=lambda one: one.model.created_at, reverse=True) if sort == "newest" else shown


_kept: list[Catalogue] = []


def catalogue(now: datetime) -> Catalogue:
    """What there is at this moment. Without Valkey nobody knows whether it changed: it is read each time."""
    try:
        # Read first: a change in between is read once more, never missed.
        version: str | None = catalogue_version()
    except Unreachable:
        version = None
    kept = _kept[0] if _kept else None
    if kept and version is not None and kept.version == version and kept.read_at <= now < kept.until:
        return kept
    found = read(now, version)
    _kept[:] = [found]
    return found


def read(now: datetime, version: str | None = None) -> Catalogue:
    """Models that are listed, have a price and a route."""
    models = Model.objects.listed(now).filter(routes__enabled=True, routes__upstream__enabled=True).distinct()
    prices: dict[int, list[Priced]] = {}
    standing = PriceVersion.objects.standing().of_list(None)
    versions = [*standing.in_force(now).prefetch_related("prices")]
    versions += standing.filter(effective_from__gt=now).order_by("effective_from").prefetch_related("prices")
    for priced in versions:
        prices.setdefault(priced.model_id, []).append(Priced(priced.effective_from, tariff_of(priced)))
    listed = []
    for model in models.select_related("successor"):
        begun = [one for one in prices.get(model.pk, ()) if one.starts <= now]
        coming = [one for one in prices.get(model.pk, ()) if one.starts > now]
        if begun and begun[0].tariff.unit_prices:
            listed.append(Listed(model, model.state(now), begun[0], coming))
    changes = [one.starts for of_model in prices.values() for one in of_model]
    for deprecated_at, shut_down_at in Model.objects.values_list("deprecated_at", "shut_down_at"):
        changes += [at for at in (deprecated_at, shut_down_at) if at]
    following = min((at for at in changes if at > now), default=FOREVER)
    return Catalogue(listed, _aliases(listed), version, now, min(following, now + LONGEST))


def _aliases(listed: list[Listed]) -> list[ListedAlias]:
    """Those of which something is for sale; a model of the same id goes before."""
    by_id = {one.model.public_id: one for one in listed}
    named = Alias.objects.filter(enabled=True, hidden=False).exclude(public_id__in=by_id)
    found = [
        ListedAlias(
            alias.public_id,
            alias.name,
            Choice(alias.choice),
            [by_id[one.model.public_id] for one in alias.members.all() if one.model.public_id in by_id],
        )
        for alias in named.prefetch_related("members__model")
    ]
    return [alias for alias in found if alias.models]


def history(model: Model, now: datetime) -> list[Priced]:
    """The versions of a model that were or are in force, the newest first."""
    versions = PriceVersion.objects.standing().of_list(None).filter(model=model, effective_from__lte=now)
    return [
        Priced(one.effective_from, tariff_of(one))
        for one in versions.order_by("-effective_from").prefetch_related("prices")
    ]


def families_of(model: Model) -> list[str]:
    return [FAMILIES.get(family, family) for family in model.families]


def written(at: datetime | None) -> str | None:
    """RFC 3339, UTC."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _text(model: Model) -> str:
    return f"{model.public_id} {model.name} {model.owned_by} {model.description}".lower()


def dearness(price: UnitPrice | None) -> tuple[bool, int]:
    """Comparable: nano-dollars of a million million units; those without a price come last."""
    return (price is None, price.amount_nanos * 10**12 // price.per_units if price else 0)
