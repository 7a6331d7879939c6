"""Codes that members type: few wrong ones in an hour, for each person and organization."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from accounts.models import Membership
from billing.promotions.redeeming import CodeError
from website import attempts

MOST_WRONG = 10
TOO_MANY = "Too many codes that can't be used. Try again in an hour."
T = TypeVar("T")


def trying(member: Membership, work: Callable[[], T], *, now: datetime) -> T:
    """Do what redeems or checks a code. Raises CodeError, also where too many were wrong."""
    persons = (f"user:{member.user_id}", f"org:{member.organization_id}")
    if any(attempts.too_many("code", whose, MOST_WRONG, now) for whose in persons):
        raise CodeError(TOO_MANY)
    try:
        return work()
    except CodeError as error:
        if error.guess:
            for whose in persons:
                attempts.note("code", whose, now)
        raise
