"""Finding in a list at Stripe what a lost answer may have made."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

import stripe

T = TypeVar("T", bound=stripe.StripeObject)

SKEW = timedelta(hours=1)
"""How far Stripe's clock may be behind ours."""

MOST_LOOKED_THROUGH = 500


def since(asked_at: datetime) -> int:
    """What was asked for at a moment isn't older than this, by Stripe's clock."""
    return int((asked_at - SKEW).timestamp())


def first(listed: stripe.ListObject[T], fits: Callable[[T], bool]) -> T | None:
    """The newest that fits, asked for page by page."""
    return next((found for found in islice(listed.auto_paging_iter(), MOST_LOOKED_THROUGH) if fits(found)), None)
