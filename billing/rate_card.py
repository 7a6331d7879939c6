"""The prices of models over time, of every price list, ready to rate by."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from billing.models import PriceVersion
from billing.off_peak import off_peak
from billing.prices import unit_prices_of
from billing.tariff import BASIS_POINTS, Tariff
from billing.terms import NO_TERMS
from hotstate.records import Terms

# Events share it: nobody changes it.
NO_MULTIPLIERS: list[int] = []
# A version of an own list without prices: there is none.
NOTHING = Tariff(0, ())


class Priced(NamedTuple):
    """What prices a request: a version's prices, and the multipliers (basis points): the discount, then off-peak."""

    tariff: Tariff
    multipliers: list[int]


@dataclass
class Timeline:
    """The versions of one model and price list: when each starts, in order, and its tariff."""

    starts: list[datetime] = field(default_factory=list)
    tariffs: list[Tariff] = field(default_factory=list)
    # For who has no terms; off-peak times aside.
    plain: list[Priced] = field(init=False)

    def __post_init__(self) -> None:
        self.plain = [Priced(tariff, NO_MULTIPLIERS) for tariff in self.tariffs]

    def add(self, start: datetime, tariff: Tariff) -> None:
        self.starts.append(start)
        self.tariffs.append(tariff)
        self.plain.append(Priced(tariff, NO_MULTIPLIERS))

    def at(self, moment: datetime) -> Tariff | None:
        position = bisect_right(self.starts, moment)
        return self.tariffs[position - 1] if position else None


@dataclass(frozen=True)
class RateCard:
    """By model (pk), then by price list (pk; None is the public one). Pure to look at: it was read before."""

    timelines: dict[int, dict[int | None, Timeline]] = field(default_factory=dict)

    def tariff(self, model_id: int, at: datetime, terms: Terms = NO_TERMS) -> Priced | None:
        """What a request of that moment is priced by, on those terms; None where nothing is in force."""
        # Nearly all of the requests; the rest of this module would give the same.
        if terms is NO_TERMS and model_id in self.timelines:
            public = self.timelines[model_id].get(None)
            place = bisect_right(public.starts, at) if public else 0
            if public and place and not public.tariffs[place - 1].off_peak.begins:
                return public.plain[place - 1]
        found = self.nearest(model_id, at, terms)
        return found and Priced(found[0], _multipliers(found[1], found[0].multiplier_at(at)))

    def nearest(self, model_id: int, at: datetime, terms: Terms = NO_TERMS) -> tuple[Tariff, int | None] | None:
        """The prices in force on those terms, and the discount off them, basis points.

        The nearest list that has a price wins: the organization's own, its plan's, the public one. Discounts are off
        the public list only.
        """
        timelines = self.timelines.get(model_id)
        if timelines is None:
            return None
        if terms is not NO_TERMS:
            for price_list in (terms.own_list, terms.plan_list):
                own = timelines.get(price_list) if price_list is not None else None
                tariff = own.at(at) if own else None
                if tariff and tariff.unit_prices:
                    return tariff, None
        public = timelines.get(None)
        tariff = public.at(at) if public else None
        return (tariff, discount_of(terms)) if tariff else None

    def superseded(
        self,
        model_id: int,
        tariff: Tariff,
        since: datetime,
        until: datetime | None = None,
        price_list: int | None = None,
    ) -> "RateCard":
        """The card as it would be if that tariff stood from `since` until `until`, or from then on."""
        timelines = self.timelines.get(model_id, {})
        before = timelines.get(price_list, Timeline())
        versions = [pair for pair in zip(before.starts, before.tariffs, strict=True) if pair[0] < since]
        versions.append((since, tariff))
        if until is not None:
            after = before.at(until)
            if after is None and price_list is not None:
                after = NOTHING
            if after is not None:
                versions.append((until, after))
            versions += [pair for pair in zip(before.starts, before.tariffs, strict=True) if pair[0] > until]
        changed = Timeline([start for start, _ in versions], [tariff for _, tariff in versions])
        return RateCard({**self.timelines, model_id: {**timelines, price_list: changed}})


def discount_of(terms: Terms) -> int | None:
    """Basis points off the public list: the organization's own, else its plan's."""
    return terms.plan_discount_bp if terms.own_discount_bp is None else terms.own_discount_bp


# Events share them, as NO_MULTIPLIERS.
@lru_cache(4096)
def _multipliers(discount: int | None, off_peak: int | None) -> list[int]:
    return [*([BASIS_POINTS - discount] if discount else []), *([off_peak] if off_peak is not None else [])]


def rate_card(model_ids: Iterable[int] | None = None) -> RateCard:
    """Read the standing versions of these models, or of all."""
    versions = PriceVersion.objects.standing().prefetch_related("prices").order_by("effective_from")
    if model_ids is not None:
        versions = versions.filter(model_id__in=list(model_ids))
    found: dict[int, dict[int | None, Timeline]] = defaultdict(lambda: defaultdict(Timeline))
    for version in versions:
        timeline = found[version.model_id][version.price_list_id]
        timeline.add(version.effective_from, tariff_of(version))
    return RateCard({model_id: dict(timelines) for model_id, timelines in found.items()})


def tariffs(version_ids: Iterable[int]) -> dict[int, Tariff]:
    """Price version pk → its tariff, superseded or not."""
    found = PriceVersion.objects.filter(pk__in=set(version_ids)).prefetch_related("prices")
    return {version.pk: tariff_of(version) for version in found}


def tariff_of(version: PriceVersion) -> Tariff:
    return Tariff(version.pk, unit_prices_of(version), off_peak(version.off_peak))
