"""The staff price table: every model with what it costs in a price list and what a draft would make of that."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from billing.drafts.versions import Wanted, in_force_with_prices, wanted_of_line
from billing.meters import LABELS
from billing.models import DraftLine, PriceDraft, PriceList, PriceVersion
from billing.tariff import UnitPrice
from catalog.models import FAMILIES, LifeState, Model, Visibility
from website import money
from website.catalogue import dearness

MILLION = 1_000_000
# Those that have a column, and are edited in it.
COLUMNS = {"input_tokens": "Input", "cached_input_tokens": "Cached input", "output_tokens": "Output"}
STATES = {
    "changed": "Changed in my draft",
    "unpriced": "Without a price",
    "coming": "With prices to come",
    "public": "Public",
    "hidden": "Hidden",
    "deprecated": "Deprecated",
    "shut_down": "Shut down",
    "disabled": "Disabled",
}
SORTS = {"model": "Model", "input": "Input price", "output": "Output price", "since": "Changed last"}


@dataclass(frozen=True)
class Cell:
    """A price per million as it is typed; `was` is what is in force where the draft has something else."""

    meter: str
    label: str
    text: str
    was: str | None = None
    # Some prices can't be said per million: the model's own page has them.
    editable: bool = True
    error: str = ""


@dataclass(frozen=True)
class Row:
    """One model: what is in force, and what the draft has instead."""

    model: Model
    state: LifeState
    version: PriceVersion | None
    coming: list[PriceVersion]
    before: Wanted
    wanted: Wanted
    in_draft: bool
    # Whether it is of a list of its own, where no price is no matter.
    of_list: bool = False

    @cached_property
    def plain(self) -> dict[str, UnitPrice]:
        return self.wanted.plain

    @property
    def cells(self) -> list[Cell]:
        before = self.before.plain if self.in_draft else self.plain
        return [cell(before.get(meter), self.plain.get(meter), meter) for meter in COLUMNS]

    @property
    def tags(self) -> list[str]:
        """What is special about it."""
        found = [] if self.state == LifeState.ACTIVE else [str(self.state.label).lower()]
        if self.model.visibility == Visibility.HIDDEN:
            found.append("hidden")
        return found if self.wanted.prices or self.of_list else [*found, "no price: not for sale"]

    @property
    def also(self) -> str:
        """What is charged beside the columns, in words."""
        found = [
            f"{LABELS[price.meter]} {per_unit(price)}" for meter, price in self.plain.items() if meter not in COLUMNS
        ]
        tiers = len({price.from_input_tokens for price in self.wanted.prices} - {0})
        variants = len({price.variant for price in self.wanted.prices} - {""})
        for count, noun in ((tiers, "tier"), (variants, "variant")):
            if count:
                found.append(f"{count} {noun}{'s' if count > 1 else ''}")
        return " · ".join([*found, *(["off-peak times"] if self.wanted.off_peak else [])])


@dataclass(frozen=True)
class Asked:
    """What the table is to show, as its address says."""

    query: str = ""
    family: str = ""
    state: str = ""
    sort: str = "model"
    price_list: PriceList | None = None

    @classmethod
    def of(cls, parameters: dict[str, str]) -> "Asked":
        chosen = parameters.get("list", "")
        known = PriceList.objects.filter(pk=int(chosen[:18])).first() if chosen.isdecimal() else None
        family, state, sort = (parameters.get(name, "") for name in ("family", "state", "sort"))
        return cls(
            parameters.get("q", "").strip()[:200],
            family if family in FAMILIES else "",
            state if state in STATES else "",
            sort if sort in SORTS else "model",
            known,
        )

    @property
    def parameters(self) -> dict[str, str]:
        """As in an address; what is usual is left out."""
        sort = "" if self.sort == "model" else self.sort
        chosen = {"q": self.query, "family": self.family, "state": self.state, "sort": sort, "list": self.list_id}
        return {name: value for name, value in chosen.items() if value}

    @property
    def list_id(self) -> str:
        return str(self.price_list.pk) if self.price_list else ""


def rows(asked: Asked, draft: PriceDraft | None, now: datetime) -> list[Row]:
    """Those that were asked for, in order."""
    found = Model.objects.search(asked.query)
    if asked.family:
        found = found.filter(families__contains=asked.family)
    shown = rows_of(list(found), asked.price_list, draft, now)
    if asked.state:
        shown = [row for row in shown if _is(row, asked.state)]
    if asked.sort in ("input", "output"):
        return sorted(shown, key=lambda row: dearness(row.plain.get(f"{asked.sort}_tokens")))
    if asked.sort == "since":
        return sorted(shown, key=lambda row: row.version.effective_from.timestamp() if row.version else 0, reverse=True)
    return shown


def rows_of(models: list[Model], price_list: PriceList | None, draft: PriceDraft | None, now: datetime) -> list[Row]:
    versions = in_force_with_prices(price_list, now, [model.pk for model in models])
    coming: dict[int, list[PriceVersion]] = defaultdict(list)
    ahead = PriceVersion.objects.standing().of_list(price_list).filter(effective_from__gt=now)
    for following in ahead.order_by("effective_from"):
        coming[following.model_id].append(following)
    drafted = DraftLine.objects.filter(draft=draft, price_list=price_list) if draft else DraftLine.objects.none()
    lines = {line.model_id: wanted_of_line(line) for line in drafted}
    of_list = price_list is not None
    found = []
    for model in models:
        version, before = versions.get(model.pk, (None, Wanted()))
        wanted = lines.get(model.pk, before)
        found.append(
            Row(model, model.state(now), version, coming[model.pk], before, wanted, model.pk in lines, of_list)
        )
    return found


def cell(old: UnitPrice | None, new: UnitPrice | None, meter: str) -> Cell:
    text = typed(new)
    was = None if old == new else (per_unit(old) if old else "none")
    editable = text is not None
    return Cell(meter, COLUMNS[meter], text if text is not None else per_unit(new) if new else "", was, editable)


def typed(price: UnitPrice | None) -> str | None:
    """Dollars per million as they are typed, empty for no price; None where they need more than nine decimals."""
    if price is None:
        return ""
    nanos, rest = divmod(price.amount_nanos * MILLION, price.per_units)
    return None if rest else money.trimmed(nanos).removeprefix("$").replace(",", "")


def per_unit(price: UnitPrice) -> str:
    """`$0.15`, `$0.04 / 1`: per million unless it says otherwise."""
    amount = money.trimmed(price.amount_nanos)
    return amount if price.per_units == MILLION else f"{amount} / {price.per_units:,}"


def _is(row: Row, state: str) -> bool:
    match state:
        case "changed":
            return row.in_draft
        case "unpriced":
            return not row.wanted.prices
        case "coming":
            return bool(row.coming)
        case Visibility.PUBLIC | Visibility.HIDDEN:
            return row.model.visibility == state
    return row.state == state
