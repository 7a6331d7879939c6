"""One request as the books have it: meters × prices × multipliers are lines that add up exactly to its charge."""

from dataclasses import dataclass
from fractions import Fraction
from uuid import UUID

from accounts.models import Organization
from billing import ledger, usage
from billing.meters import FALLBACK, METERS
from billing.models import EventCorrection, LedgerTransaction, Price, PriceVersion, UsageEvent
from billing.rating import BASIS_POINTS, NOT_CHARGED


@dataclass(frozen=True)
class Line:
    """Units of one meter and the price that they are charged by; None is a meter without a price."""

    meter: str
    units: int
    price: Price | None

    @property
    def falls_back(self) -> bool:
        """Whether the model has no price for this meter, so that a coarser one's is taken."""
        return self.price is not None and self.price.meter != self.meter

    @property
    def nanos(self) -> Fraction:
        """Nano-dollars before multipliers and rounding."""
        return self.units * Fraction(self.price.amount_nanos, self.price.per_units) if self.price else Fraction(0)


@dataclass(frozen=True)
class Receipt:
    """`event` is never edited; `version` has the unit prices it was charged by; `corrections` are in their order."""

    event: UsageEvent
    version: PriceVersion | None
    lines: list[Line]
    transaction: LedgerTransaction | None
    corrections: list[EventCorrection]

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
    return Receipt(event, version, _lines(event, version), transaction, corrected)


def _lines(event: UsageEvent, version: PriceVersion | None) -> list[Line]:
    prices = {price.meter: price for price in version.prices.all()} if version else {}
    lines = []
    for meter in METERS:
        units = event.usage.get(meter, 0)
        price = prices.get(meter) or prices.get(FALLBACK.get(meter, ""))
        # Requests are counted for everyone, and are a line only where they have a price.
        if units and (price or meter != "requests"):
            lines.append(Line(meter, units, price))
    return lines
