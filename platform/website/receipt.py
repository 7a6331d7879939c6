"""A receipt as its page words it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from billing.meters import LABELS
from billing.receipts import Receipt
from billing.tariff import UnitPrice
from website import money, wording


@dataclass(frozen=True)
class ShownLine:
    """`amount` is before rounding, and empty where the outcome costs nothing."""

    label: str
    units: int
    price: UnitPrice | None
    falls_back: bool
    amount: str


@dataclass(frozen=True)
class Shown:
    receipt: Receipt

    @property
    def event(self) -> Any:
        return self.receipt.event

    @property
    def lines(self) -> Iterator[ShownLine]:
        for line in self.receipt.lines:
            amount = money.fraction(line.nanos) if line.price and self.receipt.priced else ""
            yield ShownLine(LABELS[line.meter], line.units, line.price, line.falls_back, amount)

    @property
    def sum(self) -> str:
        return money.fraction(self.receipt.sum_nanos)

    @property
    def exact(self) -> str:
        return money.fraction(self.receipt.exact_nanos)

    @property
    def rounding(self) -> str:
        """Signed, and empty where nothing had to be rounded."""
        nanos = self.receipt.rounding_nanos
        return f"{'+' if nanos > 0 else ''}{money.fraction(nanos)}" if nanos else ""

    @property
    def outcome(self) -> str:
        return wording.OUTCOMES.get(self.event.outcome, str(self.event.outcome))

    @property
    def reason(self) -> str:
        return wording.REASONS.get(self.event.reason, str(self.event.reason))

    @property
    def multipliers(self) -> list[tuple[str, str]]:
        """Why, and how many percent: `80%`, `97.5%`."""
        return [
            (wording.MULTIPLIERS[reason], f"{points // 100}.{points % 100:02d}".rstrip("0").rstrip(".") + "%")
            for reason, points in self.receipt.multipliers
        ]
