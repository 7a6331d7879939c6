"""What pages show of usage equals the events, and is the organization's own."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db.models import Sum

from accounts.models import ApiKey, Organization
from billing import usage
from billing.models import UsageEvent
from billing.posting import post_segment
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_segment, raw, usage_line

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def organization() -> Organization:
    make_model()
    make_model("other")
    organization = make_organization()
    give_credit(organization, DOLLAR)
    return organization


@pytest.fixture
def key(organization: Organization) -> ApiKey:
    return make_key(organization)[0]


def post(*lines: dict[str, object]) -> None:
    numbered = [{**line, "seq": seq} for seq, line in enumerate(lines, 1)]
    assert post_segment(make_segment(raw(*numbered)).pk, now=NOW)


def test_the_sums_equal_the_events(organization: Organization, key: ApiKey) -> None:
    second = make_key(organization)[0]
    stranger = make_key(make_organization("Stranger"))[0]
    moments = [TODAY, TODAY - timedelta(milliseconds=1), TODAY - timedelta(days=2)]
    post(
        *(
            usage_line(owner, model, at=at, usage={"input_tokens": 100 + number})
            for number, at in enumerate(moments)
            for owner in (key, second, stranger)
            for model in ("demo-chat", "other")
        )
    )
    events = UsageEvent.objects.filter(organization=organization)
    assert events.count() == 12

    def sums(since: datetime) -> tuple[int, int]:
        found = events.filter(time__gte=since)
        return found.aggregate(sum=Sum("charge_nanos"))["sum"], found.count()

    shown = usage.summary(organization, now=NOW)
    assert (shown.spend_today_nanos, shown.requests_today) == sums(TODAY)
    assert (shown.spend_30d_nanos, shown.requests_30d) == sums(TODAY - timedelta(days=29))
    assert shown.balance_nanos == DOLLAR - shown.spend_30d_nanos

    days = usage.daily_spend_by_model(organization, first=TODAY.date() - timedelta(days=2), last=TODAY.date())
    assert [(day, model) for day, model, _, _ in days] == sorted(
        (at.date(), model) for at in moments for model in ("demo-chat", "other")
    )
    for day, model, nanos, count in days:
        found = [event for event in events.filter(model__public_id=model) if event.time.date() == day]
        assert (nanos, count) == (sum(event.charge_nanos for event in found), len(found))

    by_key = usage.spend_by_key([key, second], since=TODAY)
    for owner in (key, second):
        found = list(events.filter(api_key=owner, time__gte=TODAY))
        assert by_key.pop(owner.pk) == (sum(event.charge_nanos for event in found), len(found))
    assert by_key == {}


def test_thirty_days_are_today_and_the_twenty_nine_before(organization: Organization, key: ApiKey) -> None:
    post(usage_line(key, at=TODAY))
    later = TODAY + timedelta(days=29)
    assert usage.summary(organization, now=later).requests_30d == 1
    assert usage.summary(organization, now=later + timedelta(days=1)).requests_30d == 0


def test_an_organization_without_usage_has_zeros() -> None:
    assert usage.summary(make_organization("New"), now=NOW) == usage.Summary(0, 0, 0, 0, 0)


def test_another_organizations_request_does_not_exist(organization: Organization, key: ApiKey) -> None:
    post(usage_line(key, at=NOW))
    event = UsageEvent.objects.get()
    assert usage.request(organization, event.pk) == event
    stranger = make_organization("Stranger")
    with pytest.raises(UsageEvent.DoesNotExist):
        usage.request(stranger, event.pk)
    with pytest.raises(UsageEvent.DoesNotExist):
        usage.request(organization, UUID(int=event.pk.int + 1))
    assert usage.requests(stranger) == []


@pytest.mark.parametrize("limit", [1, 3, 7, 50])
def test_pages_neither_skip_nor_repeat(organization: Organization, key: ApiKey, limit: int) -> None:
    """Requests of the same millisecond are among them, and new ones come in between two pages."""
    at = TODAY + timedelta(milliseconds=1)
    post(*(usage_line(key, at=at - timedelta(milliseconds=number // 5)) for number in range(14)))
    expected = list(UsageEvent.objects.order_by("-id").values_list("id", flat=True))
    seen: list[UUID] = []
    page = usage.requests(organization, limit=limit)
    post(usage_line(key, at=at + timedelta(milliseconds=1)))
    while page:
        assert len(page) <= limit
        seen += [event.pk for event in page]
        page = usage.requests(organization, before=seen[-1], limit=limit)
    assert seen == expected
