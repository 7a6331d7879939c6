"""Fees are paid from money that is there: what running requests hold isn't, nor credit that came with a plan.

What a change takes from the balance is set aside in Valkey first, by one script that refuses it where requests hold the
rest; the posting then takes the place of what was set aside. Killed in between, nothing is posted, and the end of a
lease gives it back.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from django.db import transaction
from django.db.models import Sum
from uuid_utils.compat import uuid7

from accounts.models import Organization
from billing import ledger
from billing.models import Balance, CreditGrant
from billing.plans.errors import NotEnoughError, PutOffError
from billing.settled import Settled
from hotstate import aside, outbox
from hotstate.errors import Unreachable
from hotstate.records import BalanceRecord

T = TypeVar("T")
ATTEMPTS = 3
AWAY = "Balances can't be reached at this moment, so nothing was changed. Try again in a moment."

SHORT = "The balance doesn't cover the fee. Credit that comes with plans pays no fees."
HELD = "Running requests hold what this needs of the balance. Try again when they have ended."


class Till:
    """Posts what a change of plan moves, once it is sure that the money is there.

    `brought_nanos` came for this fee, in the caller's transaction: that much of it needs nothing that was there before.
    """

    def __init__(self, organization: Organization, brought_nanos: int = 0) -> None:
        self.organization, self.brought_nanos = organization, brought_nanos
        self._aside = uuid7()
        self._taken = False

    def post(
        self,
        movements: Sequence[ledger.Movement],
        *,
        needed_nanos: int,
        fee_nanos: int = 0,
        refund_nanos: int = 0,
        now: datetime,
    ) -> ledger.Posted:
        """Post movements that make the balance so much smaller. The caller holds `ledger.lock`.

        Raises NotEnoughError, and hotstate.errors.Unreachable.
        """
        balance = Balance.objects.get(organization=self.organization)
        missing = fee_nanos - refund_nanos - own_money(balance)
        if fee_nanos > self.brought_nanos and missing > 0:
            raise NotEnoughError(SHORT, missing)
        needed_nanos -= self.brought_nanos
        if needed_nanos <= 0:
            return ledger.post(movements, now=now)
        record = BalanceRecord(org=self.organization.public_id, version=balance.version, nanos=balance.nanos)
        # Before it is known to be taken: whether a call that failed did its work can't be told.
        self._taken = True
        if not aside.set_aside(self.organization.record(), record, self._aside, needed_nanos, now=now):
            self._taken = False
            raise NotEnoughError(HELD, needed_nanos)
        settled = Settled()
        settled.add(self._aside)
        return ledger.post(movements, now=now, settled={self.organization.pk: settled})

    def give_back(self) -> None:
        """Nothing was posted."""
        if self._taken:
            aside.give_back(self.organization.public_id, self._aside)


def carry_out(organization_id: int, work: Callable[[Till], T]) -> T:
    """Do a change of an organization's plan in one transaction, alone. Raises PutOffError where Valkey is away."""
    for _ in range(ATTEMPTS):
        try:
            with transaction.atomic():
                # Not its identity: usage that is being posted refers to it, and nobody waits for that.
                organization = Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
                return _work_on(Till(organization), work)
        except aside.BehindError:
            _tell_valkey()
        except Unreachable as error:
            raise PutOffError(AWAY) from error
    raise PutOffError(AWAY)


def _work_on(till: Till, work: Callable[[Till], T]) -> T:
    # Not for a commit that fails: whether it happened can't be told, and then the posting needs what was set aside.
    try:
        return work(till)
    except BaseException:
        till.give_back()
        raise


def own_money(balance: Balance) -> int:
    """Nano-dollars that can pay a fee: all that can burn but for plans' credit, less debts."""
    grants = CreditGrant.objects.filter(organization_id=balance.pk, remaining_nanos__gt=0)
    paid = grants.exclude(source=CreditGrant.Source.PLAN).aggregate(nanos=Sum("remaining_nanos"))
    return (paid["nanos"] or 0) - balance.debt_nanos


def _tell_valkey() -> None:
    try:
        outbox.deliver()
    except Unreachable as error:
        raise PutOffError(AWAY) from error
