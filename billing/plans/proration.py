"""What is left of a period that ends before its time. Pure: integers of nano-dollars, shares of time, half up."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.rating import round_half_up

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Paid:
    """A period as it was paid: its fee, the credit that came with it, and how much of that is used."""

    starts_at: datetime
    ends_at: datetime
    fee_nanos: int
    credit_nanos: int
    used_nanos: int


@dataclass(frozen=True, kw_only=True)
class Rest:
    """What goes back of the fee, and what becomes of the included credit: used + kept + taken back is all of it."""

    refund_nanos: int = 0
    kept_nanos: int = 0
    taken_back_nanos: int = 0


def rest(paid: Paid, at: datetime) -> Rest:
    """What is due if the period ends then.

    The fee's share of the time that is left goes back, less what was used of the credit beyond what had been earned by
    then. Of the credit stays what was earned and isn't used.
    """
    whole = (paid.ends_at - paid.starts_at) // MICROSECOND
    left = min(max((paid.ends_at - at) // MICROSECOND, 0), whole)
    earned = round_half_up(paid.credit_nanos * (whole - left), whole)
    refund = round_half_up(paid.fee_nanos * left, whole) - max(0, paid.used_nanos - earned)
    return Rest(
        refund_nanos=max(0, refund),
        kept_nanos=max(0, earned - paid.used_nanos),
        taken_back_nanos=paid.credit_nanos - max(earned, paid.used_nanos),
    )
