"""Numbers as logs and model servers report them, bounded before anything is computed with them. Pure.

`int(Decimal("1e999990"))` takes minutes: whoever reports such a number must not be able to stop a process by it.
"""

from decimal import Decimal, InvalidOperation
from numbers import Number
from typing import Any

# Beyond every moment, length and count that is anything.
MOST_DIGITS = 18


def bounded(value: Any) -> Decimal | None:
    """A number below 10**18 either way, written as one or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, Number | str):
        return None
    try:
        # The digits of a huge integer can't even be written down: that is a ValueError.
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return None
    if not number.is_finite() or number.adjusted() >= MOST_DIGITS:
        return Decimal(0) if number.is_zero() else None
    # Of what is nearer to nothing than any clock can tell.
    return number if number.adjusted() >= -MOST_DIGITS else Decimal(0)
