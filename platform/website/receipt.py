"""One request as a receipt: meters × prices = charge."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.models import Organization
from billing import usage
from billing.meters import FALLBACK, LABELS, METERS
from billing.models import Price, PriceVersion, UsageEvent
from website import wording


@dataclass(frozen=True)
class Line:
    """Units of one meter and the price that they were charged by; None is a meter without a price."""

    label: str
    units: int
    price: Price | None
    falls_back: bool

    @property
    def amount(self) -> tuple[int, int]:
        """Nano-dollars before rounding, as numerator and denominator."""
        return (self.units * self.price.amount_nanos, self.price.per_units) if self.price else (0, 1)

    @property
    def nanos(self) -> str:
        """Nano-dollars before rounding, cut after three more decimals: only the whole sum is rounded."""
        numerator, denominator = self.amount
        whole, rest = divmod(numerator, denominator)
        fraction = f"{rest * 1000 // denominator:03d}".rstrip("0")
        dollars = f"${whole // 1_000_000_000:,}.{whole % 1_000_000_000:09d}"
        return f"{dollars}{fraction}"


@dataclass(frozen=True)
class Receipt:
    event: Any
    version: PriceVersion | None
    lines: list[Line]

    @classmethod
    def of(cls, organization: Organization, request_id: UUID) -> "Receipt":
        """Raises UsageEvent.DoesNotExist where the organization has no such request."""
        event = usage.request(organization, request_id)
        version = (
            PriceVersion.objects.prefetch_related("prices").filter(pk=event.price_version_id).first()
            if event.price_version_id
            else None
        )
        return cls(event, version, _lines(event, version))

    @property
    def charged(self) -> bool:
        return bool(self.event.charge_nanos)

    @property
    def outcome(self) -> str:
        return wording.OUTCOMES.get(self.event.outcome, str(self.event.outcome))

    @property
    def reason(self) -> str:
        return wording.REASONS.get(self.event.reason, str(self.event.reason))

    @property
    def ledger_key(self) -> str:
        """The operation key of the ledger transaction that this charge is part of."""
        return f"usage:{self.event.segment_id}:{self.event.organization_id}:{self.event.time:%Y-%m-%d}"

    @property
    def multipliers(self) -> list[str]:
        """Each in percent: `80%`, `97.5%`."""
        return [
            f"{points // 100}.{points % 100:02d}".rstrip("0").rstrip(".") + "%" for points in self.event.multipliers
        ]


def _lines(event: UsageEvent, version: PriceVersion | None) -> list[Line]:
    prices = {price.meter: price for price in version.prices.all()} if version else {}
    lines = []
    for meter in METERS:
        units = event.usage.get(meter, 0)
        own = prices.get(meter)
        if units and (own or meter != "requests"):
            price = own or prices.get(FALLBACK.get(meter, ""))
            lines.append(Line(LABELS[meter], units, price, falls_back=price is not own))
    return lines
