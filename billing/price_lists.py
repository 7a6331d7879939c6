"""Price lists beside the public one: of a plan, or of an organization."""

from datetime import datetime

from django.db import IntegrityError, transaction

from accounts.models import User, audit
from billing.models import PriceList


class NameTakenError(ValueError):
    """There is a price list of that name."""


def open_price_list(name: str, *, actor: User | None, now: datetime) -> PriceList:
    """Begin an empty list: what it has no price of costs what the public list says. Raises NameTakenError."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                price_list = PriceList.objects.create(name=name, created_at=now)
        except IntegrityError as error:
            raise NameTakenError(f"There is a price list {name} already.") from error
        audit.record("price_list.open", name, actor=actor, now=now)
    return price_list
