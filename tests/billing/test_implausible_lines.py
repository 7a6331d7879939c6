"""One line, whatever it says, never keeps the others of its segment waiting."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from django.db import DataError, connection

from accounts.models import ApiKey
from api.segments import LARGEST_SEGMENT
from billing.lines import parse
from billing.meters import MOST_UNITS
from billing.models import Balance, QuarantinedLine, QuarantineRun, Segment, UsageEvent
from billing.posting import post_segment
from billing.proofs.proving import prove
from billing.quarantine import keeping
from billing.quarantine.looking import Kind, reasons_of
from billing.quarantine.replaying import ReplayError
from billing.quarantine.resolving import discard_line, replay_line
from billing.quarantine.runs import go_on, start_run
from billing.rated import MOST_PER_REQUEST
from catalog.models import Route
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
    make_user,
    raw,
    request_id,
    usage_line,
)

LARGEST_BIGINT = 2**63 - 1


@pytest.fixture
def key(db: None) -> ApiKey:
    organization = make_organization()
    make_model(prices={"input_tokens": (3_000, 1), "output_tokens": (15_000, 1), "images": (10**15, 1)})
    give_credit(organization, DOLLAR)
    return make_key(organization)[0]


def post(content: bytes) -> Segment:
    posted = post_segment(make_segment(content).pk, now=datetime.now(UTC))
    assert posted
    return posted


def reasons() -> list[str]:
    return list(QuarantinedLine.objects.order_by("line").values_list("reason", flat=True))


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        ({"output_tokens": 10**14}, "malformed"),
        ({"output_tokens": MOST_UNITS + 1}, "malformed"),
        # Free, and yet too much: sums are of everything.
        ({"requests": MOST_UNITS + 1}, "malformed"),
        ({"output_tokens": MOST_UNITS}, "implausible"),
        ({"output_tokens": MOST_PER_REQUEST // 15_000 + 1}, "implausible"),
        ({"images": 10**6}, "implausible"),
    ],
)
def test_lines_of_a_huge_charge_wait_and_honest_ones_are_posted(
    key: ApiKey, usage: dict[str, int], reason: str
) -> None:
    huge = [usage_line(key, seq=seq, usage=usage) for seq in range(1, 9)]
    segment = post(raw(*huge, usage_line(key, seq=9, usage={"input_tokens": 1})))
    assert (segment.new, segment.quarantined) == (1, 8)
    assert reasons() == [reason] * 8
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - 3_000


def test_the_dearest_request_is_charged(key: ApiKey) -> None:
    post(raw(usage_line(key, usage={"output_tokens": MOST_PER_REQUEST // 15_000})))
    assert UsageEvent.objects.get().charge_nanos == MOST_PER_REQUEST // 15_000 * 15_000


def test_the_sums_of_the_largest_segment_fit() -> None:
    shortest = {
        "v": 1,
        "id": request_id(datetime(2026, 11, 20, tzinfo=UTC)).hex,
        "source": "g",
        "seq": 1,
        "time": "2026-11-20T00:00:00Z",
        "key": "k",
        "model": "m",
        "endpoint": "e",
        "status": 0,
        "outcome": "timeout",
        "usage": {},
    }
    content = msgspec.json.encode(shortest)
    parse(content)
    most_lines = LARGEST_SEGMENT // (len(content) + 1)
    assert most_lines * MOST_PER_REQUEST <= LARGEST_BIGINT
    assert most_lines * MOST_UNITS <= LARGEST_BIGINT


@pytest.mark.parametrize("claim", [-1, 2**63, 10**40, 10**4000])
def test_a_claim_that_is_no_amount_waits(key: ApiKey, claim: int) -> None:
    line = msgspec.json.encode(usage_line(key))[:-1] + b',"charge_nanos":%s}' % str(claim).encode()
    segment = post(raw(line, usage_line(key, seq=2)))
    assert (segment.new, reasons()) == (1, ["malformed"])


@pytest.mark.parametrize("field", ["endpoint", "variant", "upstream_request_id", "key", "model", "org", "route"])
def test_half_a_character_waits(key: ApiKey, field: str) -> None:
    plain: dict[str, Any] = {**usage_line(key), field: "HALF"}
    segment = post(raw(msgspec.json.encode(plain).replace(b"HALF", rb"a\ud800bcdefgh"), usage_line(key, seq=2)))
    assert (segment.new, reasons()) == (1, ["malformed"])


@pytest.mark.parametrize(
    "full",
    [
        "UPDATE billing_hourlyusage SET input_tokens = 9223372036854775000",
        "UPDATE billing_dailyusage SET charge_nanos = 9223372036854775000",
        "UPDATE billing_balance SET debt_nanos = 9223372036854775000, credit_nanos = 0 WHERE organization_id = %s",
    ],
)
def test_an_organization_whose_sums_are_full_keeps_nobody_elses_lines_waiting(key: ApiKey, full: str) -> None:
    at = datetime.now(UTC)
    post(raw(usage_line(key, at=at, usage={"input_tokens": 10**6})))
    other, _ = make_key(make_organization("Other"))
    with connection.cursor() as cursor:
        cursor.execute(full, [key.organization_id] if "%s" in full else [])
    usage = {"input_tokens": 1000}
    segment = post(raw(*[usage_line(one, at=at, seq=seq, usage=usage) for seq, one in enumerate((key, other), 2)]))
    assert (segment.new, segment.quarantined, reasons()) == (1, 1, ["implausible"])
    assert Balance.objects.get(organization=other.organization).nanos == -3_000 * 1000


def test_what_is_no_fault_of_an_organization_is_not_hidden(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise DataError("something else")

    monkeypatch.setattr("billing.posting._charge", fails)
    with pytest.raises(DataError):
        post(raw(usage_line(key)))
    assert not UsageEvent.objects.exists()


def test_many_lines_that_nobody_can_read_are_a_few_rows_that_account_for_all(
    key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_UNREADABLE", 3)
    monkeypatch.setattr("billing.archive.CHUNK_LINES", 4)
    unread = b'{"unread":{"format":"litellm","reason":"its key","record":{}}}'
    segment = post(raw(*[b"x"] * 9, usage_line(key), *[unread] * 4))
    assert (segment.lines, segment.new, segment.quarantined) == (14, 1, 13)
    rows = list(QuarantinedLine.objects.order_by("line").values_list("line", "lines"))
    assert rows == [(1, 1), (2, 1), (3, 1), (4, 6), (11, 1), (12, 1), (13, 1), (14, 1)]
    beyond = QuarantinedLine.objects.get(lines=6)
    assert segment.path in beyond.detail
    (lines,) = [result for result in prove(datetime.now(UTC)) if result.name == "lines"]
    assert lines.ok
    assert reasons_of(segment) == {"malformed": 13}
    staff = make_user("staff@example.com")
    with pytest.raises(ReplayError):
        replay_line(beyond, actor=staff, now=datetime.now(UTC), text=b"{}")
    run = start_run(Kind("malformed"), QuarantineRun.Action.REPLAY, actor=staff, now=datetime.now(UTC))
    assert run and go_on(run.pk, datetime.now(UTC)) and not go_on(run.pk, datetime.now(UTC))
    assert QuarantinedLine.objects.open().get() == beyond
    assert discard_line(beyond, actor=staff, reason="noise", now=datetime.now(UTC))


def test_another_keys_secret_and_another_models_route_are_not_taken_for_its_own(key: ApiKey) -> None:
    other, _ = make_key(make_organization("Other"))
    route = Route.objects.get(model=make_model("other"))
    mine = Route.objects.get(model__public_id="demo-chat")
    secrets = {one: one.secrets.get() for one in (key, other)}
    post(
        raw(
            usage_line(other, "other", secret=secrets[other].public_id, route=str(route.pk)),
            usage_line(key, seq=2, secret=secrets[other].public_id, route=str(route.pk)),
            usage_line(key, seq=3, secret=secrets[key].public_id, route=str(mine.pk)),
        )
    )
    found = list(UsageEvent.objects.order_by("seq").values_list("secret_id", "route_id"))
    assert found == [(secrets[other].pk, route.pk), (None, None), (secrets[key].pk, mine.pk)]
