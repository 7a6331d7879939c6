"""The one door to balances: `post` writes transactions, entries, grants, burns and balances, and tells Valkey.

Credits are positive and debits negative, so what a customer has is positive and what a customer owes (receivable) is
negative: `balance = customer_credit + receivable`. Everything is in nano-dollars.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from django.db import connection, transaction

from billing import burning
from billing.models import Account, CreditGrant, TransactionKind
from billing.settled import Settled
from config import enqueue
from hotstate import outbox
from hotstate.records import BalanceRecord, Spent

LARGEST_BALANCE = 9_000_000_000 * 10**9
"""Nano-dollars, either way. What usage adds to it must still fit into the column's 63 bits."""

SETTLED_PER_RECORD = 5_000


class BalanceTooLarge(ValueError):
    """A movement would bring a balance beyond LARGEST_BALANCE; the message says so."""


@dataclass(frozen=True, kw_only=True)
class GrantTerms:
    """How the credit that a movement brings is kept."""

    source: CreditGrant.Source
    priority: int
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Movement:
    """Money to move between an organization and one of our accounts, once per operation key.

    `nanos` is seen from the organization: positive is credit (with the terms of its grant), negative a charge.
    Credit that corrects a transaction goes back to the grants which that one burned; only the rest becomes a grant.
    A charge with `from_grant_id` takes from that grant alone, which has enough: the caller holds `lock`. With
    `from_grant_nanos` too, it takes so much from that grant, and the rest as any charge does. One with `sparing` burns
    no grants of that source.
    """

    operation_key: str
    kind: TransactionKind
    organization_id: int
    nanos: int
    counter: Account
    event_day: date
    grant: GrantTerms | None = None
    reason: str = ""
    actor_id: int | None = None
    corrects_id: int | None = None
    from_grant_id: int | None = None
    from_grant_nanos: int | None = None
    sparing: CreditGrant.Source | None = None


def usage_operation(segment_id: int, organization_id: int, day: date) -> str:
    """The operation key of what a segment's requests of one organization and UTC day cost."""
    return f"usage:{segment_id}:{organization_id}:{day}"


@dataclass(frozen=True)
class Posted:
    """What `post` did: the transactions that are new, by operation key."""

    transactions: dict[str, int]


@dataclass(slots=True)
class _Held:
    """An organization's balance, locked; nano-dollars."""

    organization_id: int
    public_id: str
    credit_nanos: int
    debt_nanos: int
    version: int


class _Entry(NamedTuple):
    transaction_id: int
    account: str
    organization_id: int | None
    amount_nanos: int
    event_day: date


def post(
    movements: Sequence[Movement],
    *,
    now: datetime,
    settled: Mapping[int, Settled] | None = None,
    spending: Callable[[], dict[int, list[Spent]]] = dict,
) -> Posted:
    """Post movements in one transaction (the caller's, if there is one). An operation key posts once, ever.

    `settled` names, per organization pk, the requests posted now: their holds go together with the new balance.
    `spending` is asked, once the balances are locked, what the organizations' keys with budgets have spent.
    Raises BalanceTooLarge; never for usage, which happened.
    """
    settled = settled or {}
    movements = [movement for movement in movements if movement.nanos]
    _require_one_correction_each(movements)
    organization_ids = sorted({movement.organization_id for movement in movements} | settled.keys())
    with transaction.atomic():
        balances = _locked_balances(organization_ids)
        transactions = _insert_transactions(movements, now)
        fresh = [movement for movement in movements if movement.operation_key in transactions]
        entries: list[_Entry] = []
        pools = burning.Pools.load(
            {movement.organization_id for movement in fresh if movement.nanos < 0},
            now,
            unwinding={movement.corrects_id for movement in fresh if movement.corrects_id and movement.nanos > 0},
        )
        for movement in fresh:
            transaction_id = transactions[movement.operation_key]
            balance = balances[movement.organization_id]
            if movement.nanos > 0:
                sides = _credit(movement, balance, transaction_id, pools)
            else:
                sides = _charge(movement, balance, transaction_id, pools)
            # What was used was used: only other movements can be refused.
            if movement.counter != Account.REVENUE and max(balance.credit_nanos, balance.debt_nanos) > LARGEST_BALANCE:
                raise BalanceTooLarge("A balance can't be beyond ±$9,000,000,000.")
            entries += _entries(movement, transaction_id, sides)
        _insert_entries(entries, now)
        pools.save()
        _save_balances(balances, now, settled, spending())
    return Posted(transactions)


def _require_one_correction_each(movements: Sequence[Movement]) -> None:
    """What a transaction burned is given back once: of two that unwind it the second wouldn't know of the first."""
    unwound = [movement.corrects_id for movement in movements if movement.corrects_id and movement.nanos > 0]
    if len(set(unwound)) < len(unwound):
        raise ValueError("Of what is posted together only one can give back what a transaction burned.")


def lock(organization_ids: Iterable[int]) -> None:
    """Let nobody else move money of these organizations until the caller's transaction has ended."""
    _locked_balances(sorted(set(organization_ids)))


def _credit(movement: Movement, balance: _Held, transaction_id: int, pools: burning.Pools) -> dict[Account, int]:
    """Credit pays the debt first, then unwinds what it corrects; what is left is a grant."""
    if movement.grant is None:
        raise ValueError(f"{movement.operation_key}: credit needs the terms of its grant")
    paid_debt = min(balance.debt_nanos, movement.nanos)
    left = movement.nanos - paid_debt
    balance.debt_nanos -= paid_debt
    balance.credit_nanos += left
    if movement.corrects_id is None:
        pools.grant(movement.organization_id, movement.nanos, paid_debt, transaction_id, movement.grant)
    else:
        granted = left - pools.unwind(movement.organization_id, movement.corrects_id, left, transaction_id)
        if granted:
            pools.grant(movement.organization_id, granted, 0, transaction_id, movement.grant)
    return {Account.RECEIVABLE: paid_debt, Account.CUSTOMER_CREDIT: left}


def _charge(movement: Movement, balance: _Held, transaction_id: int, pools: burning.Pools) -> dict[Account, int]:
    """A charge burns grants; what they can't cover is a debt."""
    wanted = -movement.nanos
    burned = 0
    if movement.from_grant_id is not None:
        own = wanted if movement.from_grant_nanos is None else movement.from_grant_nanos
        # A burn takes something.
        burned = pools.empty(movement.from_grant_id, own, transaction_id) if own else 0
    if movement.from_grant_id is None or movement.from_grant_nanos is not None:
        left = wanted - burned
        burned += pools.burn(movement.organization_id, left, transaction_id, sparing=movement.sparing)
    balance.credit_nanos -= burned
    balance.debt_nanos += wanted - burned
    return {Account.CUSTOMER_CREDIT: -burned, Account.RECEIVABLE: burned - wanted}


def _entries(movement: Movement, transaction_id: int, sides: dict[Account, int]) -> Iterable[_Entry]:
    for account, nanos in {**sides, movement.counter: -movement.nanos}.items():
        if nanos:
            organization_id = None if account == movement.counter else movement.organization_id
            yield _Entry(transaction_id, account.value, organization_id, nanos, movement.event_day)


# A segment has a thousand organizations, so rows are written and read as columns rather than as models.
INSERT_BALANCES = """
INSERT INTO billing_balance (organization_id, credit_nanos, debt_nanos, version)
SELECT id, 0, 0, 0 FROM unnest(%s::bigint[]) AS new (id)
ON CONFLICT (organization_id) DO NOTHING
"""
LOCK_BALANCES = """
SELECT organization.id, organization.public_id, balance.credit_nanos, balance.debt_nanos, balance.version
FROM billing_balance AS balance JOIN accounts_organization AS organization ON organization.id = balance.organization_id
WHERE balance.organization_id = ANY(%s::bigint[])
ORDER BY balance.organization_id
FOR UPDATE OF balance
"""


def _locked_balances(organization_ids: list[int]) -> dict[int, _Held]:
    # The rows exist before they are locked, and are locked in sorted order: no deadlock, no lock on nothing.
    with connection.cursor() as cursor:
        cursor.execute(INSERT_BALANCES, [organization_ids])
        cursor.execute(LOCK_BALANCES, [organization_ids])
        return {row[0]: _Held(*row) for row in cursor.fetchall()}


INSERT_TRANSACTIONS = """
INSERT INTO billing_ledgertransaction
    (operation_key, kind, organization_id, event_day, posted_at, reason, actor_id, corrects_id)
SELECT operation_key, kind, organization_id, event_day, %s, reason, actor_id, corrects_id
FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::date[], %s::text[], %s::bigint[], %s::bigint[])
    AS new (operation_key, kind, organization_id, event_day, reason, actor_id, corrects_id)
ON CONFLICT (operation_key) DO NOTHING
RETURNING operation_key, id
"""


def _insert_transactions(movements: Sequence[Movement], now: datetime) -> dict[str, int]:
    columns: tuple[list[Any], ...] = (
        [movement.operation_key for movement in movements],
        [movement.kind.value for movement in movements],
        [movement.organization_id for movement in movements],
        [movement.event_day for movement in movements],
        [movement.reason for movement in movements],
        [movement.actor_id for movement in movements],
        [movement.corrects_id for movement in movements],
    )
    with connection.cursor() as cursor:
        cursor.execute(INSERT_TRANSACTIONS, [now, *columns])
        return dict(cursor.fetchall())


INSERT_ENTRIES = """
INSERT INTO billing_ledgerentry (transaction_id, account, organization_id, amount_nanos, event_day, posted_at)
SELECT new.*, %s FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::date[]) AS new
"""


def _insert_entries(entries: list[_Entry], now: datetime) -> None:
    columns = [list(column) for column in zip(*entries, strict=True)]
    if columns:
        with connection.cursor() as cursor:
            cursor.execute(INSERT_ENTRIES, [now, *columns])


SAVE_BALANCES = """
UPDATE billing_balance AS balance
SET credit_nanos = new.credit, debt_nanos = new.debt, version = balance.version + 1
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS new (organization, credit, debt)
WHERE balance.organization_id = new.organization
RETURNING balance.organization_id, EXISTS (
    SELECT 1 FROM billing_autorecharge AS own
    WHERE own.organization_id = balance.organization_id AND own.active AND own.stopped_at IS NULL
        AND own.not_before <= %s AND own.threshold_nanos > new.credit - new.debt
)
"""


def _save_balances(
    balances: dict[int, _Held], now: datetime, settled: Mapping[int, Settled], spent: dict[int, list[Spent]]
) -> None:
    rows = list(balances.values())
    with connection.cursor() as cursor:
        cursor.execute(
            SAVE_BALANCES,
            [list(balances), [row.credit_nanos for row in rows], [row.debt_nanos for row in rows], now],
        )
        to_refill = [organization_id for organization_id, low in cursor.fetchall() if low]
    outbox.add(_records(rows, settled, spent), now=now)
    _refill(to_refill)


def _refill(organization_ids: list[int]) -> None:
    """Auto-recharge, once this is committed. A message that gets lost is made up for by a sweep."""
    from billing.tasks import recharge_balance

    for organization_id in organization_ids:
        enqueue.after_commit(recharge_balance, organization_id)


def _records(
    rows: list[_Held], settled: Mapping[int, Settled], spent: dict[int, list[Spent]]
) -> Iterator[BalanceRecord]:
    nobody = Settled()
    for row in rows:
        for posted in settled.get(row.organization_id, nobody).portions(SETTLED_PER_RECORD):
            yield BalanceRecord(
                org=row.public_id,
                version=row.version + 1,
                nanos=row.credit_nanos - row.debt_nanos,
                posted=posted,
                spent=tuple(spent.get(row.organization_id, ())),
            )
