"""A segment's lines become events, sums and money exactly once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db.models import Sum

from accounts.models import Alarm, ApiKey
from billing.models import (
    Balance,
    DailyUsage,
    HourlyUsage,
    LedgerEntry,
    LedgerTransaction,
    QuarantinedLine,
    UsageEvent,
)
from billing.posting import post_segment
from billing.receipts import receipt
from billing.tasks import sweep_segments
from catalog.models import Model
from tests.billing.posted import CHARGE, counts, key, post
from tests.cast import (
    DOLLAR,
    make_key,
    make_model,
    make_segment,
    raw,
    request_id,
    set_prices,
    set_terms,
    usage_line,
)

__all__ = ["key"]
pytestmark = pytest.mark.django_db


def test_an_event_is_charged_added_up_and_debited(key: ApiKey) -> None:
    segment = post(raw(usage_line(key, stream=True, ttft_ms=12)))
    event = UsageEvent.objects.get()
    assert (event.charge_nanos, event.api_key, event.stream, event.reason) == (CHARGE, key, True, "as_reported")
    assert event.usage == {"input_tokens": 1000, "output_tokens": 100}
    assert counts(segment) == (1, 1, 0, 0)
    for rollup in (HourlyUsage.objects.get(), DailyUsage.objects.get()):
        assert (rollup.events, rollup.charge_nanos, rollup.input_tokens, rollup.output_tokens) == (1, CHARGE, 1000, 100)
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - CHARGE
    operation = LedgerTransaction.objects.get(kind="usage")
    assert operation.operation_key == f"usage:{segment.pk}:{key.organization_id}:{event.time.date()}"


def test_events_rollups_and_entries_have_the_same_sum(key: ApiKey) -> None:
    lines = [usage_line(key, seq=seq, usage={"input_tokens": seq}) for seq in range(1, 101)]
    post(raw(*lines[:60]))
    post(raw(*lines[40:]))
    total = sum(range(1, 101)) * 3_000
    sums = [
        UsageEvent.objects.aggregate(sum=Sum("charge_nanos"))["sum"],
        HourlyUsage.objects.aggregate(sum=Sum("charge_nanos"))["sum"],
        DailyUsage.objects.aggregate(sum=Sum("charge_nanos"))["sum"],
        LedgerEntry.objects.filter(account="revenue").aggregate(sum=Sum("amount_nanos"))["sum"],
    ]
    assert sums == [total] * 4


def test_the_same_segment_is_posted_once(key: ApiKey) -> None:
    segment = post(raw(usage_line(key)))
    assert post_segment(segment.pk, now=datetime.now(UTC)) is None
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - CHARGE


def test_the_same_event_in_two_segments_or_twice_in_one_counts_once(key: ApiKey) -> None:
    line = usage_line(key)
    assert counts(post(raw(line, line))) == (2, 1, 1, 0)
    assert counts(post(raw(line))) == (1, 0, 1, 0)
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - CHARGE


def test_charges_beyond_the_credit_become_a_debt(key: ApiKey) -> None:
    post(raw(usage_line(key, usage={"input_tokens": 10**6})))
    balance = Balance.objects.get(organization=key.organization)
    assert (balance.credit_nanos, balance.debt_nanos) == (0, 2 * DOLLAR)


@pytest.mark.parametrize("terms", [False, True])
def test_an_event_is_priced_by_its_time(key: ApiKey, terms: bool) -> None:
    """ccusage 1636: history was repriced by today's list. Also where terms choose among lists."""
    if terms:
        set_terms(key.organization, own_discount_bp=0)
    now = datetime.now(UTC)
    model = key.organization.api_keys.get() and make_model("other")
    set_prices(model, {"input_tokens": (1, 1)}, effective_from=now - timedelta(minutes=1))
    before = usage_line(key, "other", at=now - timedelta(minutes=2), usage={"input_tokens": 1})
    after = usage_line(key, "other", at=now, usage={"input_tokens": 1}, seq=2)
    post(raw(before, after))
    assert sorted(UsageEvent.objects.values_list("charge_nanos", flat=True)) == [1, 3_000]


def test_a_new_price_changes_nothing_of_before(key: ApiKey) -> None:
    """ccusage 1636, once it is posted: its price version stays with it, in the books and on its receipt."""
    post(raw(usage_line(key)))
    before = UsageEvent.objects.get()
    set_prices(Model.objects.get(), {"input_tokens": (1, 1), "output_tokens": (1, 1)}, effective_from=datetime.now(UTC))
    post(raw(usage_line(key, id=before.id)))
    after = UsageEvent.objects.get()
    assert (
        (after.charge_nanos, after.price_version_id) == (before.charge_nanos, before.price_version_id) != (1100, None)
    )
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - CHARGE
    assert receipt(key.organization, before.id).exact_nanos == CHARGE


def test_an_empty_segment_is_posted(key: ApiKey) -> None:
    assert counts(post(b"")) == (0, 0, 0, 0)


def test_a_charge_that_the_gateway_computed_otherwise_raises_an_alarm(key: ApiKey) -> None:
    identifier = request_id(datetime.now(UTC))
    post(raw(usage_line(key, id=identifier, charge_nanos=CHARGE), usage_line(key, charge_nanos=CHARGE + 1, seq=2)))
    assert Alarm.objects.get().kind == "charge_differs"
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - 2 * CHARGE


def test_many_such_charges_are_one_alarm_per_segment(key: ApiKey) -> None:
    lines = [usage_line(key, seq=seq, charge_nanos=CHARGE + seq) for seq in range(1, 301)]
    segments = [post(raw(usage_line(key), *lines[:200])), post(raw(*lines[200:]))]
    alarms = list(Alarm.objects.order_by("id").values_list("subject", "count", "detail"))
    assert [(subject, count) for subject, count, _ in alarms] == [(segment.identity, 1) for segment in segments]
    for words in ("200", lines[0]["id"], f"{CHARGE + 1} nano", f"worker {CHARGE}."):
        assert words in alarms[0][2]


def test_a_segment_whose_hint_was_lost_is_swept_up(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = make_segment(raw(usage_line(key)), now=datetime.now(UTC) - timedelta(minutes=1))
    sent: list[int] = []
    monkeypatch.setattr("billing.tasks.enqueue.now", lambda _task, pk: sent.append(pk))
    sweep_segments()
    assert sent == [segment.pk]


@pytest.mark.parametrize(
    "change",
    [
        {"usage": {"input_tokens": 7}},
        {"outcome": "client_disconnected"},
        {"model": "other"},
        {"key": "other"},
        {"variant": "hd"},
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_the_same_id_with_other_billable_content_is_told_and_the_first_stays(
    key: ApiKey, change: dict[str, Any], together: bool
) -> None:
    make_model("other")
    if "key" in change:
        change = {"key": make_key(key.organization)[0].public_id}
    line = usage_line(key)
    contents = [line, line, {**line, **change, "seq": 2}]
    if together:
        last = post(raw(*contents))
        assert counts(last) == (3, 1, 1, 1)
    else:
        post(raw(*contents[:2]))
        last = post(raw(contents[2], usage_line(key, seq=3, outcome="timeout")))
        assert counts(last) == (2, 1, 0, 1)
    alarm = Alarm.objects.get()
    assert (alarm.kind, alarm.subject) == ("usage_differs", last.identity)
    assert line["id"] in alarm.detail
    waiting = QuarantinedLine.objects.get()
    assert (waiting.reason, msgspec.json.decode(waiting.raw)) == ("differs", contents[2])
    assert waiting.detail.split()[-3] == next(iter(change))
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - CHARGE


def test_the_same_id_with_the_same_content_is_no_alarm(key: ApiKey) -> None:
    line = usage_line(key, usage={"input_tokens": 5, "output_tokens": 0})
    post(raw(line, {**line, "seq": 9, "ttft_ms": 4}))
    post(raw(line, usage_line(key)))
    assert not Alarm.objects.exists()


def test_of_many_events_only_the_one_that_is_there_already_is_a_duplicate(key: ApiKey) -> None:
    lines = [usage_line(key, seq=seq) for seq in range(1, 31)]
    post(raw(lines[13]))
    assert counts(post(raw(*lines))) == (30, 29, 1, 0)
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - 30 * CHARGE


def test_a_segment_of_many_portions_is_posted_like_one_of_one(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.archive.CHUNK_LINES", 3)
    monkeypatch.setattr("billing.tally.MOST_GROUPS", 2)
    monkeypatch.setattr("billing.ledger.SETTLED_PER_RECORD", 4)
    make_model("other")
    hours = [datetime.now(UTC) - timedelta(hours=hour) for hour in range(3)]
    lines = [
        usage_line(key, model, at=at, seq=seq, usage={"input_tokens": seq})
        for seq, (at, model) in enumerate([(at, model) for at in hours for model in ("demo-chat", "other")] * 3, 1)
    ]
    segment = post(raw(*lines, lines[0], b"{}", lines[17]) + b'{"v":1')
    assert counts(segment) == (22, 18, 2, 2)
    assert list(QuarantinedLine.objects.order_by("line").values_list("line", "reason")) == [
        (20, "malformed"),
        (22, "torn"),
    ]
    assert (segment.first_seq, segment.last_seq) == (1, 18)
    total = sum(range(1, 19))
    for rollup in (HourlyUsage, DailyUsage):
        summed = rollup._default_manager.aggregate(events=Sum("events"), tokens=Sum("input_tokens"))
        assert summed == {"events": 18, "tokens": total}
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - total * 3_000
    assert LedgerTransaction.objects.filter(kind="usage").count() == len({at.date() for at in hours})
