"""Money moves once, however many do it at the same moment: races that peers shipped."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import ApiKey
from billing import expiry, ledger
from billing.correcting import correct
from billing.correction_rules import one_event, void
from billing.models import (
    Account,
    Balance,
    ClosedDay,
    CreditGrant,
    EventCorrection,
    GrantBurn,
    LedgerEntry,
    LedgerTransaction,
    ProofRun,
    TransactionKind,
    UsageEvent,
)
from billing.nightly import closing_days, expiring, running
from billing.partitions import ensure_partitions
from billing.posting import post_segment
from billing.proofs import asking
from billing.proofs.proving import prove
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
    make_user,
    raw,
    usage_line,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
CROWD = 6


@pytest.fixture
def key(transactional_db: None) -> ApiKey:
    ensure_partitions(DAY, behind=0, ahead=0)
    make_model()
    return make_key(make_organization())[0]


def at_once(work: Callable[[int], object]) -> None:
    """Let a crowd do this at the same moment, each with a connection of its own."""
    start, failed = Barrier(CROWD), []

    def run(number: int) -> None:
        start.wait(30)
        try:
            work(number)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    crowd = [Thread(target=run, args=[number]) for number in range(CROWD)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(60)
    assert failed == []


def movement(key: ApiKey, nanos: int, operation: str) -> ledger.Movement:
    return ledger.Movement(
        operation_key=operation,
        kind=TransactionKind.USAGE if nanos < 0 else TransactionKind.GRANT,
        organization_id=key.organization_id,
        nanos=nanos,
        counter=Account.REVENUE if nanos < 0 else Account.PROMOTIONS,
        event_day=DAY,
        grant=ledger.GrantTerms(source=CreditGrant.Source.PROMOTION, priority=1) if nanos > 0 else None,
    )


def wrong() -> list[Any]:
    """What isn't proved of money; these tests post usage without events."""
    of_money = {"transactions", "balances", "grants", "burns"}
    return [result for result in prove(NOON) if result.name in of_money and not result.ok]


def test_credit_that_is_applied_twice_at_once_counts_once(key: ApiKey) -> None:
    """Lago 4945: a coupon or credit note applied twice at once."""
    at_once(lambda _: ledger.post([movement(key, DOLLAR, "coupon")], now=NOON))
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR
    assert LedgerTransaction.objects.count() == CreditGrant.objects.count() == 1
    assert wrong() == []


def test_concurrent_charges_lose_none_and_burn_nothing_twice(key: ApiKey) -> None:
    """new-api 6609, one-api 2440: read, then deduct, by several at once."""
    give_credit(key.organization, 10 * CROWD // 2, now=NOON)
    at_once(lambda number: ledger.post([movement(key, -10, f"charge-{number}")], now=NOON))
    balance = Balance.objects.get(organization=key.organization)
    assert (balance.credit_nanos, balance.debt_nanos) == (0, 10 * CROWD // 2)
    assert sum(GrantBurn.objects.values_list("amount_nanos", flat=True)) == 10 * CROWD // 2
    assert wrong() == []


def test_an_organizations_first_movements_meet_on_a_row_that_is_there(key: ApiKey) -> None:
    """A lock on a row that doesn't exist yet locks nothing."""
    assert not Balance.objects.filter(organization=key.organization).exists()
    at_once(lambda number: ledger.post([movement(key, DOLLAR, f"first-{number}")], now=NOON))
    assert Balance.objects.get(organization=key.organization).nanos == CROWD * DOLLAR
    assert wrong() == []


def test_organizations_are_locked_in_one_order(key: ApiKey) -> None:
    """Two postings with the same organizations the other way round would wait for each other."""
    other = make_key(make_organization("Other"))[0]

    def both(number: int) -> None:
        pair = [movement(key, -1, f"a-{number}"), movement(other, -1, f"b-{number}")]
        ledger.post(pair[::-1] if number % 2 else pair, now=NOON)

    at_once(both)
    assert [row.nanos for row in Balance.objects.all()] == [-CROWD, -CROWD]


def test_a_correction_that_two_people_make_at_once_counts_once(key: ApiKey) -> None:
    """Lago 4945 again: a credit note for the same charge, applied twice."""
    assert post_segment(make_segment(raw(usage_line(key, at=NOON)), now=NOON).pk, now=NOON)
    event = one_event(UsageEvent.objects.get().pk)
    fields: dict[str, Any] = {"what": "x", "reason": "y", "actor": None, "clock": lambda: NOON}
    at_once(lambda _: correct(event, void, **fields))
    assert EventCorrection.objects.count() == 1
    assert Balance.objects.get(organization=key.organization).nanos == 0
    assert wrong() == []


def test_two_schedulers_do_the_nights_work_once(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polar 11065: two schedulers renewed one plan. Each step would do nothing twice; and it is begun by one alone."""
    begun: list[str] = []
    for step, does in ((expiring, "expire_grants"), (closing_days, "close_day")):
        monkeypatch.setattr(step, does, counted(getattr(step, does), begun))
    give_credit(key.organization, DOLLAR, expires_at=NOON, now=NOON - timedelta(hours=1))
    night = NOON + timedelta(days=1)
    at_once(lambda _: running.go_on(lambda: night))
    assert sorted(begun) == ["close_day", "expire_grants"]
    assert LedgerTransaction.objects.filter(kind="expiry").count() == 1
    assert Balance.objects.get(organization=key.organization).nanos == 0
    assert ProofRun.objects.count() == 1
    assert ProofRun.objects.get().ok is True
    assert ClosedDay.objects.filter(day=DAY).count() == 1


def test_credit_that_burns_while_it_expires_loses_what_is_left(key: ApiKey) -> None:
    """Polar 11065 again: who takes credit back looks at it once nobody else can change it."""
    give_credit(key.organization, DOLLAR, expires_at=NOON, now=NOON - timedelta(hours=1))
    failed = []

    def expire() -> None:
        try:
            expiry.expire_grants(NOON)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    expiring = Thread(target=expire)
    with transaction.atomic():
        ledger.post([movement(key, -10, "usage")], now=NOON)
        expiring.start()
        wait_until(somebody_waits, "the one that takes it back to wait")
    expiring.join(60)
    assert failed == []
    assert LedgerEntry.objects.get(account="breakage").amount_nanos == DOLLAR - 10
    assert CreditGrant.objects.get().remaining_nanos == 0
    assert wrong() == []


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def counted(does: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    """The same, which tells when it is called."""

    def do(*arguments: Any, **named: Any) -> Any:
        calls.append(does.__name__)
        return does(*arguments, **named)

    return do


def test_who_asks_for_proofs_at_once_gets_one_run(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.proofs.asking.enqueue.after_commit", lambda *_: None)
    staff = make_user("staff@example.com")
    for day in (None, DAY):
        at_once(lambda _, day=day: asking.ask(NOON, day=day, actor=staff))  # type: ignore[misc]
    assert set(ProofRun.objects.values_list("day", flat=True)) == {None, DAY}
    assert ProofRun.objects.count() == 2


def test_changing_a_key_writes_back_no_money(key: ApiKey) -> None:
    """new-api: editing a key wrote back an old quota. Here no row that people edit has any."""
    stale = ApiKey.objects.get(pk=key.pk)
    assert post_segment(make_segment(raw(usage_line(key, at=NOON)), now=NOON).pk, now=NOON)
    before = Balance.objects.values().get(organization=key.organization)
    stale.name = "edited in an old window"
    stale.save()
    assert Balance.objects.values().get(organization=key.organization) == before
    names = {field.name for field in ApiKey._meta.get_fields()} | {
        field.name for field in key.organization._meta.concrete_fields
    }
    assert not {name for name in names if any(word in name for word in ("spent", "used_", "remaining", "quota"))}
