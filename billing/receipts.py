"""One request as the books have it: meters × prices × multipliers are lines that add up exactly to its charge."""

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

from accounts.models import Organization
from billing import ledger, usage
from billing.meters import METERS
from billing.models import EventCorrection, LedgerTransaction, PriceVersion, UsageEvent
from billing.rate_card import discount_of, tariff_of
from billing.rating import NOT_CHARGED
from billing.tariff import BASIS_POINTS, Rates, UnitPrice
from billing.terms import histories, in_force, milliseconds


@dataclass(frozen=True)
class Line:
    """Units of one meter and the price that they are charged by, of the request's tier and variant; None is a meter
    without a price."""

    meter: str
    units: int
    price: UnitPrice | None

    @property
    def falls_back(self) -> bool:
        """Whether the model has no price for this meter, so that a coarser one's is taken."""
        return self.price is not None and self.price.meter != self.meter

    @property
    def nanos(self) -> Fraction:
        """Nano-dollars before multipliers and rounding."""
        return self.units * Fraction(self.price.amount_nanos, self.price.per_units) if self.price else Fraction(0)


class Reason(StrEnum):
    """Why there is a multiplier."""

    DISCOUNT = "discount"
    OFF_PEAK = "off_peak"
    OTHER = "other"


class Multiplier(NamedTuple):
    reason: Reason
    basis_points: int


@dataclass(frozen=True)
class Receipt:
    """`event` is never edited; `version` has the unit prices it was charged by; `corrections` are in their order."""

    event: UsageEvent
    version: PriceVersion | None
    lines: list[Line]
    transaction: LedgerTransaction | None
    corrections: list[EventCorrection]
    # The event's, in its order.
    multipliers: list[Multiplier] = field(default_factory=list)

    @property
    def priced(self) -> bool:
        """Whether the outcome is one that is charged at all."""
        return self.event.outcome not in NOT_CHARGED

    @property
    def sum_nanos(self) -> Fraction:
        """Of all lines, before multipliers."""
        return sum((line.nanos for line in self.lines), Fraction(0))

    @property
    def exact_nanos(self) -> Fraction:
        """Nano-dollars before rounding: nothing where the outcome costs nothing."""
        exact = self.sum_nanos if self.priced else Fraction(0)
        for multiplier in self.event.multipliers:
            exact *= Fraction(multiplier, BASIS_POINTS)
        return exact

    @property
    def rounding_nanos(self) -> Fraction:
        """What rounding to a whole nano-dollar added, or took: half of one at most."""
        return self.event.charge_nanos - self.exact_nanos

    @property
    def charge_now_nanos(self) -> int:
        """What it costs after all corrections."""
        return self.corrections[-1].new_charge_nanos if self.corrections else self.event.charge_nanos


def receipt(organization: Organization, request_id: UUID) -> Receipt:
    """Raises UsageEvent.DoesNotExist where the organization's books have no such request."""
    event = usage.request(organization, request_id)
    version = None
    if event.price_version_id is not None:
        version = PriceVersion.objects.prefetch_related("prices").get(pk=event.price_version_id)
    operation = ledger.usage_operation(event.segment_id, organization.pk, event.time.date())
    posted = organization.ledger_transactions.filter(operation_key=operation)
    transaction = posted.first() if event.charge_nanos else None
    corrections = EventCorrection.objects.filter(event_id=request_id, organization=organization)
    corrected = list(corrections.select_related("correction", "transaction").order_by("number"))
    rates = tariff_of(version).rates_of(event.usage, event.variant) if version else None
    return Receipt(event, version, _lines(event, rates), transaction, corrected, _multipliers(event, version))


def _multipliers(event: UsageEvent, version: PriceVersion | None) -> list[Multiplier]:
    """Each with what it came from: the terms and the off-peak times of the event's moment, which nobody edits."""
    found: list[Multiplier] = []
    if event.multipliers and version:
        history = histories([event.organization_id]).get(event.organization_id, ())
        discount = discount_of(in_force(history, milliseconds(event.time)))
        if discount and version.price_list_id is None:
            found.append(Multiplier(Reason.DISCOUNT, BASIS_POINTS - discount))
        off_peak = tariff_of(version).multiplier_at(event.time)
        if off_peak is not None:
            found.append(Multiplier(Reason.OFF_PEAK, off_peak))
    if [multiplier.basis_points for multiplier in found] == event.multipliers:
        return found
    return [Multiplier(Reason.OTHER, points) for points in event.multipliers]


def _lines(event: UsageEvent, rates: Rates | None) -> list[Line]:
    lines = []
    for meter in METERS:
        units = event.usage.get(meter, 0)
        price = rates.prices.get(meter) if rates else None
        # Requests are counted for everyone, and are a line only where they have a price.
        if units and (price or meter != "requests"):
            lines.append(Line(meter, units, price))
    return lines
