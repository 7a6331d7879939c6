"""A closed day keeps its figures: what comes later is an adjustment, and no posting straddles the closing."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from threading import Event, Thread

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import ApiKey
from billing import closing, posting, turns
from billing.models import Balance, ClosedDay, DailyUsage, LedgerTransaction, Segment, UsageEvent
from billing.nightly import closing_days
from billing.nightly.shape import Night, NotReadyError
from billing.partitions import ensure_partitions
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
    raw,
    usage_line,
)

DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
NIGHT = datetime(2026, 3, 11, 4, tzinfo=UTC)
CHARGE = 1000 * 3_000 + 100 * 15_000


@pytest.fixture
def key(db: None) -> ApiKey:
    ensure_partitions(DAY)
    organization = make_organization()
    make_model()
    give_credit(organization, DOLLAR, now=NOON)
    return make_key(organization)[0]


def post(*lines: dict[str, object], now: datetime = NOON) -> Segment:
    posted = posting.post_segment(make_segment(raw(*lines), now=now).pk, now=now)
    assert posted
    return posted


@pytest.mark.django_db
class TestClosing:
    def test_a_closed_day_has_the_figures_of_its_events(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON), usage_line(key, at=NOON, seq=2))
        post(usage_line(key, at=NOON + timedelta(days=1), seq=3), now=NIGHT)
        closed = closing.close_day(DAY, NIGHT)
        assert (closed.events, closed.charge_nanos) == (2, 2 * CHARGE)
        assert closing.charged_by_ledger([DAY])[DAY] == (2 * CHARGE, closed.charges_hash)
        assert closing.hashes_of_sums([DAY])[DAY] == closed.sums_hash

    def test_closing_again_changes_nothing(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON))
        closed = closing.close_day(DAY, NIGHT)
        post(usage_line(key, at=NOON, seq=2), now=NIGHT)
        closing.close_day(DAY, NIGHT + timedelta(days=1))
        assert ClosedDay.objects.filter(pk=DAY).values().get() == ClosedDay.objects.filter(pk=closed.pk).values().get()
        assert ClosedDay.objects.get().events == 1

    def test_a_closing_that_was_killed_before_it_counted_is_finished_by_the_next(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON))
        closing._seal(DAY, NIGHT)
        post(usage_line(key, at=NOON, seq=2), now=NIGHT)
        assert closing.close_day(DAY, NIGHT + timedelta(hours=1)).events == 1

    def test_an_event_for_a_closed_day_is_an_adjustment_everywhere(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON))
        before = closing.close_day(DAY, NIGHT)
        post(usage_line(key, at=NOON, seq=2), now=NIGHT)
        assert sorted(UsageEvent.objects.values_list("kind", flat=True)) == ["adjustment", "usage"]
        assert sorted(DailyUsage.objects.values_list("day", "kind", "charge_nanos")) == [
            (DAY, "adjustment", CHARGE),
            (DAY, "usage", CHARGE),
        ]
        late = LedgerTransaction.objects.get(kind="adjustment")
        assert late.event_day == DAY
        assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - 2 * CHARGE
        assert closing.charged_by_events(DAY)[1:] == (CHARGE, before.charges_hash)
        assert closing.charged_by_ledger([DAY])[DAY] == (CHARGE, before.charges_hash)

    def test_late_usage_is_charged_even_beyond_the_largest_debt(self, key: ApiKey) -> None:
        """What happened can't be refused, whatever its label."""
        from billing import ledger
        from billing.models import Account, TransactionKind

        closing.close_day(DAY, NIGHT)
        debt = ledger.Movement(
            operation_key="huge",
            kind=TransactionKind.USAGE,
            organization_id=key.organization_id,
            nanos=-ledger.LARGEST_BALANCE,
            counter=Account.REVENUE,
            event_day=DAY,
        )
        ledger.post([debt], now=NIGHT)
        post(usage_line(key, at=NOON), now=NIGHT)
        post(usage_line(key, at=NOON, seq=2, usage={"input_tokens": 10**6}), now=NIGHT)
        assert UsageEvent.objects.count() == 2

    def test_a_day_that_is_not_over_is_not_closed(self, key: ApiKey) -> None:
        with pytest.raises(closing.NotOver):
            closing.close_day(DAY, closing.end_of(DAY) - timedelta(milliseconds=1))

    @pytest.mark.parametrize("change", ["UPDATE billing_closedday SET events = 9", "DELETE FROM billing_closedday"])
    def test_the_database_refuses_changes_of_a_closed_day(self, key: ApiKey, change: str) -> None:
        closing.close_day(DAY, NIGHT)
        with pytest.raises(IntegrityError, match="is closed"), connection.cursor() as cursor:
            cursor.execute(change)


@pytest.mark.django_db
class TestReadiness:
    END = closing.end_of(DAY)

    def received(self, source: str, at: datetime, origin: Segment.Origin = Segment.Origin.GATEWAY) -> Segment:
        segment = make_segment(b"", source=source, now=at)
        Segment.objects.filter(pk=segment.pk).update(origin=origin, posted_at=at)
        return segment

    def test_a_day_is_ready_when_every_gateway_has_reported_past_midnight(self, key: ApiKey) -> None:
        self.received("gw-a", self.END + timedelta(minutes=3))
        self.received("gw-b", self.END - timedelta(minutes=1))
        (missing,) = closing.ready_to_close(DAY, self.END + timedelta(minutes=4))
        assert "gw-b" in missing
        self.received("gw-b", self.END + timedelta(minutes=4))
        assert closing.ready_to_close(DAY, self.END + timedelta(minutes=5)) == []

    def test_a_gateway_that_sent_nothing_that_day_is_not_waited_for(self, key: ApiKey) -> None:
        self.received("gw-gone", self.END - timedelta(days=1, minutes=1))
        assert closing.ready_to_close(DAY, NIGHT) == []

    def test_another_source_has_reported_once_it_is_silent(self, key: ApiKey) -> None:
        self.received("logs", self.END + timedelta(minutes=10), Segment.Origin.FILE)
        assert closing.ready_to_close(DAY, self.END + timedelta(minutes=11))
        assert closing.ready_to_close(DAY, self.END + timedelta(minutes=11) + closing.SILENCE) == []

    def test_a_segment_that_waits_is_missing(self, key: ApiKey) -> None:
        make_segment(b"", now=NOON)
        assert closing.ready_to_close(DAY, NIGHT)[0] == "1 segments wait to be posted."

    def test_what_is_missing_is_recorded_by_the_closing(self, key: ApiKey) -> None:
        make_segment(b"", now=NOON)
        assert closing.close_day(DAY, NIGHT).missing[0] == "1 segments wait to be posted."

    def test_a_day_is_not_ready_before_it_is_over(self, key: ApiKey) -> None:
        assert closing.ready_to_close(DAY, self.END)


@pytest.mark.django_db
class TestByNight:
    END = closing.end_of(DAY)
    NEXT = DAY + timedelta(days=1)

    def test_days_that_are_over_are_closed_the_oldest_first(self, key: ApiKey) -> None:
        ensure_partitions(DAY, behind=1, ahead=1)
        night = Night(self.NEXT, lambda: self.END + timedelta(hours=1))
        assert closing_days.close(night)["days closed"][-2:] == [str(DAY - timedelta(days=1)), str(DAY)]
        assert closing_days.close(night)["days closed"] == []

    def test_a_day_is_closed_when_it_is_overdue_whatever_is_missing(self, key: ApiKey) -> None:
        closing_days.close(Night(DAY, lambda: self.END - timedelta(hours=1)))
        make_segment(b"", now=NOON)
        with pytest.raises(NotReadyError, match="1 segments wait"):
            closing_days.close(Night(self.NEXT, lambda: self.END + timedelta(hours=5)))
        closed = closing_days.close(Night(self.NEXT, lambda: self.END + timedelta(hours=6)))
        assert closed == {"days closed": [str(DAY)], "missing": 2}

    def test_a_night_that_is_caught_up_on_closes_later_days_too(self, key: ApiKey) -> None:
        """Else its proofs would find them over and open. Those of its own must be closed; later ones may wait."""
        ensure_partitions(DAY, behind=0, ahead=2)
        make_segment(b"", now=self.END + timedelta(days=2))
        closing_days.close(Night(self.NEXT, lambda: self.END + timedelta(days=2, hours=1)))
        assert ClosedDay.objects.latest("day").day == self.NEXT


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Event, Event]]:
    """A posting stops after it has rated its lines: the first event says that it has, the second lets it go on."""
    rated, go_on = Event(), Event()
    insert_new = posting.insert_new

    def held_up(events: object) -> object:
        rated.set()
        assert go_on.wait(30)
        return insert_new(events)  # type: ignore[arg-type]

    monkeypatch.setattr(posting, "insert_new", held_up)
    yield rated, go_on
    go_on.set()


@pytest.mark.django_db(transaction=True)
def test_closing_waits_for_a_posting_in_flight(key: ApiKey, held: tuple[Event, Event]) -> None:
    """One that saw the day open is counted by the closing, and none is committed to the day after it."""
    rated, go_on = held
    segment = make_segment(raw(usage_line(key, at=NOON)), now=NOON)
    closed: list[ClosedDay] = []

    def run(work: object) -> Thread:
        def target() -> None:
            work()  # type: ignore[operator]
            connection.close()

        thread = Thread(target=target)
        thread.start()
        return thread

    post_it = run(lambda: posting.post_segment(segment.pk, now=NOON))
    assert rated.wait(30)
    close_it = run(lambda: closed.append(closing.close_day(DAY, NIGHT)))
    while not _somebody_waits_for_the_turn():
        assert close_it.is_alive()
    assert not ClosedDay.objects.exists()
    go_on.set()
    post_it.join(30)
    close_it.join(30)
    assert (closed[0].events, UsageEvent.objects.get().kind) == (1, "usage")


@pytest.mark.django_db(transaction=True)
def test_closing_gives_up_before_usage_waits_for_long(
    key: ApiKey, held: tuple[Event, Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """New postings queue behind a closing that waits for a large one."""
    monkeypatch.setattr(turns, "PATIENCE_MS", 50)
    rated, go_on = held
    segment = make_segment(raw(usage_line(key, at=NOON)), now=NOON)

    def post_it() -> None:
        posting.post_segment(segment.pk, now=NOON)
        connection.close()

    worker = Thread(target=post_it)
    worker.start()
    assert rated.wait(30)
    with pytest.raises(turns.Busy):
        closing.close_day(DAY, NIGHT)
    with pytest.raises(NotReadyError, match="Usage is being posted"):
        closing_days.close_if_ready(DAY, NIGHT + timedelta(days=1))
    go_on.set()
    worker.join(30)
    assert closing.close_day(DAY, NIGHT).events == 1


def _somebody_waits_for_the_turn() -> bool:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(cursor.fetchone()[0])
