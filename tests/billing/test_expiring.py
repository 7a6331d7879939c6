"""Credit that expires pays for usage made while it was good, however late that comes to the books."""

from datetime import UTC, date, datetime, timedelta

import pytest

from accounts.models import ApiKey
from billing import expiry
from billing.closing import close_day
from billing.models import Balance, LedgerEntry, Segment
from billing.nightly import closing_days, expiring
from billing.nightly.shape import Night
from billing.partitions import ensure_partitions
from billing.posting import post_segment
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_segment, raw, usage_line

pytestmark = pytest.mark.django_db
DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 11, tzinfo=UTC)


@pytest.fixture
def key() -> ApiKey:
    ensure_partitions(DAY, behind=0, ahead=1)
    make_model()
    return make_key(make_organization())[0]


def arrive(key: ApiKey, *, made: datetime, received: datetime) -> Segment:
    return make_segment(raw(usage_line(key, at=made)), now=received)


def post(key: ApiKey, segment: Segment, now: datetime) -> int:
    """Post it; what it took from the organization's credit."""
    before = Balance.objects.get(organization=key.organization).credit_nanos
    assert post_segment(segment.pk, now=now)
    return before - Balance.objects.get(organization=key.organization).credit_nanos


def debt(key: ApiKey) -> int:
    return Balance.objects.get(organization=key.organization).debt_nanos


def night(now: datetime) -> dict[str, int]:
    return expiring.expire(Night(now.date(), lambda: now))


def test_usage_from_before_the_expiry_burns_the_credit_when_it_comes_after(key: ApiKey) -> None:
    give_credit(key.organization, DOLLAR, expires_at=MIDNIGHT, now=NOON)
    last = arrive(key, made=MIDNIGHT - timedelta(seconds=1), received=MIDNIGHT + timedelta(seconds=30))
    assert post(key, last, MIDNIGHT + timedelta(minutes=1)) > 0
    assert debt(key) == 0


def test_what_the_gateways_count_as_balance_can_burn(key: ApiKey) -> None:
    """Between its expiry and the night it is in the balance that requests are let in on."""
    give_credit(key.organization, DOLLAR, expires_at=NOON, now=NOON - timedelta(hours=1))
    late = NOON + timedelta(hours=3)
    assert post(key, arrive(key, made=late, received=late), late + timedelta(minutes=1)) > 0
    assert debt(key) == 0


def test_nothing_is_taken_back_before_its_day_is_closed(key: ApiKey) -> None:
    give_credit(key.organization, DOLLAR, expires_at=MIDNIGHT, now=NOON)
    waiting = arrive(key, made=NOON, received=MIDNIGHT)
    hour = MIDNIGHT + timedelta(hours=1)
    assert night(hour) == {"grants expired": 0}
    burned = post(key, waiting, hour)
    assert closing_days.closed_until(hour) == MIDNIGHT - timedelta(days=1)
    close_day(DAY, hour)
    assert closing_days.closed_until(hour) == MIDNIGHT
    assert night(hour) == {"grants expired": 1}
    assert LedgerEntry.objects.get(account="breakage").amount_nanos == DOLLAR - burned
    assert debt(key) == 0


def test_today_s_is_never_taken_back(key: ApiKey) -> None:
    close_day(DAY, MIDNIGHT)
    give_credit(key.organization, DOLLAR, expires_at=MIDNIGHT + timedelta(seconds=1), now=NOON)
    assert night(MIDNIGHT + timedelta(hours=2)) == {"grants expired": 0}


def test_it_is_posted_at_the_night_s_time(key: ApiKey) -> None:
    give_credit(key.organization, DOLLAR, expires_at=NOON, now=NOON - timedelta(hours=1))
    assert expiry.expire_grants(MIDNIGHT, now=MIDNIGHT + timedelta(days=3)) == 1
    assert LedgerEntry.objects.get(account="breakage").transaction.event_day == date(2026, 3, 14)
