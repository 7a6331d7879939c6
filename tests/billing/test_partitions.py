"""Days of events: made ahead, closed before they are detached, and never charged again afterwards."""

from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from django.db import connection

from accounts.models import ApiKey
from billing.closing import close_day
from billing.models import Balance, QuarantinedLine, UsageEvent
from billing.partitions import detach_old, ensure_partitions, partition_days, partition_name
from billing.posting import post_segment
from billing.proofs.proving import prove
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_segment, raw, usage_line

DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
LATER = datetime(2026, 4, 20, 12, tzinfo=UTC)


@pytest.fixture
def key(db: None) -> ApiKey:
    ensure_partitions(DAY, behind=1, ahead=1)
    ensure_partitions(LATER.date())
    make_model()
    organization = make_organization()
    give_credit(organization, DOLLAR)
    return make_key(organization)[0]


def close(day: date) -> None:
    close_day(day, LATER)


@pytest.mark.django_db
def test_partitions_are_made_ahead_and_once() -> None:
    ensure_partitions(DAY, behind=1, ahead=7)
    ensure_partitions(DAY, behind=1, ahead=7)
    assert {DAY + timedelta(days=offset) for offset in range(-1, 8)} <= partition_days()


def test_a_closed_day_is_detached_and_its_events_are_kept(key: ApiKey) -> None:
    line = usage_line(key, at=NOON)
    post_segment(make_segment(raw(line), now=NOON).pk, now=LATER)
    nanos = Balance.objects.get().nanos
    close(DAY)
    assert detach_old(LATER.date(), keep_days=30) == [DAY]
    assert DAY not in partition_days()
    assert not UsageEvent.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {partition_name(DAY)}")
        assert cursor.fetchone() == (1,)

    # What comes again or late for that day waits for a person: whether it was charged can't be told here.
    posted = post_segment(make_segment(raw(line, usage_line(key, at=NOON, seq=2)), now=LATER).pk, now=LATER)
    assert posted
    assert (posted.new, posted.duplicate, posted.quarantined) == (0, 0, 2)
    assert set(QuarantinedLine.objects.values_list("reason", flat=True)) == {"too_old"}
    assert Balance.objects.get().nanos == nanos
    assert [result.offender for result in prove(LATER) if not result.ok] == []


def test_a_day_that_is_not_closed_stays(key: ApiKey) -> None:
    assert detach_old(LATER.date(), keep_days=30) == []
    assert DAY in partition_days()


@pytest.mark.parametrize("keep", [0, 41])
def test_a_day_that_is_to_be_kept_stays(key: ApiKey, keep: int) -> None:
    close(DAY)
    assert detach_old(LATER.date(), keep_days=keep) == []
    assert DAY in partition_days()


@pytest.mark.django_db(transaction=True)
def test_a_partition_in_use_is_detached_another_time(key: ApiKey) -> None:
    close(DAY)
    with psycopg.connect(_url()) as reader:
        reader.execute("SELECT count(*) FROM billing_usageevent")
        assert detach_old(LATER.date(), keep_days=30) == []
    assert detach_old(LATER.date(), keep_days=30) == [DAY]


def _url() -> str:
    """Of the tests' database, for a connection of one's own."""
    of = connection.settings_dict
    return psycopg.conninfo.make_conninfo(
        host=of["HOST"], port=of["PORT"], user=of["USER"], password=of["PASSWORD"], dbname=of["NAME"]
    )
