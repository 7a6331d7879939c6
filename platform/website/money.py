"""Nano-dollars as people read and type them. Integers only: no float, no rounding."""

import re
from fractions import Fraction

NANOS = 1_000_000_000
LARGEST = 2**63 - 1
DECIMAL = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?|\.([0-9]{1,9})")


class NotAnAmount(ValueError):
    """The text isn't a number of dollars that nano-dollars can hold; the message says why."""


def decimal(nanos: int) -> str:
    """All nine decimals, for exports: `0.012400000`."""
    whole, rest = divmod(abs(nanos), NANOS)
    return f"{'-' if nanos < 0 else ''}{whole}.{rest:09d}"


def exact(nanos: int) -> str:
    """All nine decimals, as read: `$1,204.012400000`."""
    whole, rest = divmod(abs(nanos), NANOS)
    return f"{'-' if nanos < 0 else ''}${whole:,}.{rest:09d}"


def trimmed(nanos: int) -> str:
    """Every decimal that matters, and never fewer than two: `$0.15`, `$0.0000125`. For prices."""
    whole, fraction = exact(nanos).split(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"


def short(nanos: int) -> str:
    """At a glance: `$4.99`, `$0.0124`, `$0.000042`. Cut, not rounded, so that nobody is shown more than there is."""
    whole, fraction = exact(nanos).split(".")
    if abs(nanos) >= NANOS:
        return f"{whole}.{fraction[:2]}"
    leading_zeros = len(fraction) - len(fraction.lstrip("0"))
    kept = fraction[: max(4, leading_zeros + 2)].rstrip("0")
    if not kept:
        return "$0.00"
    return f"{whole}.{kept:0<2}"


def fraction(nanos: Fraction) -> str:
    """An amount that isn't rounded: nine decimals, then as many as matter, six at most: `$0.000066000333333…`."""
    millionths, rest = divmod(abs(nanos) * 1_000_000, 1)
    whole, finer = divmod(millionths, 1_000_000)
    more = f"{finer:06d}" + "…" if rest else f"{finer:06d}".rstrip("0")
    return f"{'-' if nanos < 0 else ''}{exact(whole)}{more}"


def parse(text: str) -> int:
    """Return nano-dollars of a decimal number of dollars as typed: `0.15`, `$12`. Raises NotAnAmount."""
    typed = text.strip().removeprefix("$").strip()
    if "," in typed:
        raise NotAnAmount("Write decimals with a point and no thousands separators, such as 1250.50.")
    match = DECIMAL.fullmatch(typed)
    if match is None:
        if re.fullmatch(r"[0-9]*\.[0-9]{10,}", typed):
            raise NotAnAmount("At most nine decimals: a nano-dollar is the smallest unit.")
        if typed.startswith("-"):
            raise NotAnAmount("An amount can't be negative.")
        raise NotAnAmount("Write a number of dollars, such as 0.15.")
    whole, fraction = match[1] or "0", match[2] or match[3] or ""
    nanos = int(whole) * NANOS + int(f"{fraction:0<9}")
    if nanos > LARGEST:
        raise NotAnAmount("The largest amount is $9,223,372,036.")
    return nanos
