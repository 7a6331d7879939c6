"""A draft as it is looked at: price by price, what was and what would be."""

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

from django.db.models import Case, Prefetch, When

from billing.drafts.versions import Wanted, place_of, wanted_of_line, wanted_of_version
from billing.meters import LABELS
from billing.models import DraftLine, PriceDraft, PriceVersion
from billing.tariff import UnitPrice
from website.pricetable import per_unit

PAGE = 100


@dataclass(frozen=True)
class Change:
    """One price: what it is called, before and after as dollars, `rise` whole percent towards zero."""

    label: str
    before: str
    after: str
    rise: int | None


@dataclass(frozen=True)
class ChangedModel:
    line: DraftLine
    changes: list[Change]
    stale: bool

    @property
    def address(self) -> str:
        """Of the model's page."""
        of_list = f"?list={self.line.price_list_id}" if self.line.price_list_id else ""
        return f"/staff/prices/{self.line.model_id}/{of_list}"


def changes(draft: PriceDraft, stale: Collection[int] = (), *, skip: int = 0) -> list[ChangedModel]:
    """A page of what it changes, after the first `skip` lines. Those that somebody has to look at come first."""
    based = Prefetch("based_on", PriceVersion.objects.prefetch_related("prices"))
    lines = draft.lines.select_related("model", "price_list").prefetch_related(based)
    first = Case(When(pk__in=stale, then=0), default=1)
    return [
        ChangedModel(line, differences(wanted_of_version(line.based_on), wanted_of_line(line)), line.pk in stale)
        for line in lines.order_by(first, "model__public_id", "price_list__name", "pk")[skip : skip + PAGE]
    ]


def differences(before: Wanted, after: Wanted) -> list[Change]:
    """The prices that differ, in their order."""
    old = {place_of(price): price for price in before.prices}
    new = {place_of(price): price for price in after.prices}
    found = [
        Change(_label(place), _told(old.get(place)), _told(new.get(place)), _rise(old.get(place), new.get(place)))
        for place in [*new, *(place for place in old if place not in new)]
        if old.get(place) != new.get(place)
    ]
    if before.off_peak != after.off_peak:
        found.append(Change("Off-peak times", _times(before), _times(after), None))
    return found


def _label(place: tuple[str, int, str]) -> str:
    meter, tier, variant = place
    return LABELS[meter] + (f" from {tier:,}" if tier else "") + (f", {variant}" if variant else "")


def _told(price: UnitPrice | None) -> str:
    return per_unit(price) if price else "none"


def _rise(old: UnitPrice | None, new: UnitPrice | None) -> int | None:
    if not old or not new or not old.amount_nanos:
        return None
    ratio = Fraction(new.amount_nanos, new.per_units) / Fraction(old.amount_nanos, old.per_units)
    change = (ratio - 1) * 100
    return int(change)


def _times(wanted: Wanted) -> str:
    return f"{len(wanted.off_peak)} times" if wanted.off_peak else "none"
