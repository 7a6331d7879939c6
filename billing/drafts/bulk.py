"""Prices changed by a percentage, rounded by a rule that is said beforehand. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from billing.drafts.versions import Wanted
from billing.price_rules import PriceError, told
from billing.rating import round_half_up
from billing.tariff import BASIS_POINTS, UnitPrice

CENT = 10_000_000
# The rule's name → what it says.
ROUNDINGS = {
    "digits": "To three digits that count, halves up: $1.234 becomes $1.23",
    "cent": "To whole cents, halves up: $1.234 becomes $1.23, $0.0234 becomes $0.02",
    "exact": "Not at all, except to the nano-dollar, halves up",
}
# More is a slip of the keyboard.
LARGEST_RISE = 100 * BASIS_POINTS


@dataclass(frozen=True)
class Percentage:
    """`basis_points` more, or less where negative, on the prices of these meters."""

    basis_points: int
    rounding: str
    meters: Collection[str]

    def __post_init__(self) -> None:
        if self.rounding not in ROUNDINGS:
            raise PriceError(f"{self.rounding} is no rule to round by.")
        if not -BASIS_POINTS < self.basis_points <= LARGEST_RISE or not self.basis_points:
            raise PriceError("Change prices by more than -100 % and at most +10,000 %, and not by nothing.")

    def of(self, wanted: Wanted) -> Wanted:
        """Raises PriceError where a price would be rounded to nothing."""
        return wanted._replace(
            prices=tuple(self._changed(price) if price.meter in self.meters else price for price in wanted.prices)
        )

    def _changed(self, price: UnitPrice) -> UnitPrice:
        numerator = price.amount_nanos * (BASIS_POINTS + self.basis_points)
        step = self._step(numerator // BASIS_POINTS)
        amount = round_half_up(numerator, BASIS_POINTS * step) * step
        if not amount and price.amount_nanos:
            raise PriceError(f"{told(price)} would be rounded to nothing. Round to digits that count instead.")
        return price._replace(amount_nanos=amount)

    def _step(self, nanos: int) -> int:
        """What the amount is a multiple of."""
        if self.rounding == "cent":
            return CENT
        return 10 ** max(0, len(str(nanos)) - 3) if self.rounding == "digits" else 1
