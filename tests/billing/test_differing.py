"""A line whose id another event has is never lost: a person says whether it is charged too, or instead."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from accounts.models import ApiKey
from billing.adapters import FORMATS, KEYMETER
from billing.batches import Sender, receive_batch
from billing.correcting import correct
from billing.correction_rules import one_event, void
from billing.models import Balance, QuarantinedLine, QuarantineRun, Segment, UsageEvent
from billing.posting import post_segment
from billing.proofs.proving import prove
from billing.quarantine.looking import Kind
from billing.quarantine.own_event import as_own_event
from billing.quarantine.resolving import discard_line, replay_line
from billing.quarantine.runs import go_on, start_run
from hotstate import holds
from hotstate.client import valkey
from hotstate.holds import Hold
from tests.billing.test_rebuilding import red
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

pytestmark = pytest.mark.django_db
CHARGE = 1000 * 3_000 + 100 * 15_000


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(autouse=True)
def _own_archive(settings: Any, tmp_path: Path) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}


@pytest.fixture
def key() -> ApiKey:
    make_model()
    organization = make_organization()
    give_credit(organization, DOLLAR)
    return make_key(organization)[0]


@pytest.fixture
def rival() -> ApiKey:
    return make_key(make_organization("Rival"))[0]


def post(*lines: dict[str, Any], **fields: Any) -> Segment:
    posted = post_segment(make_segment(raw(*lines), **fields).pk, now=now())
    assert posted
    return posted


def post_waiting() -> None:
    for segment in Segment.objects.unposted():
        post_segment(segment.pk, now=now())


def squatted(key: ApiKey, rival: ApiKey) -> tuple[dict[str, Any], QuarantinedLine]:
    """Who knows the id of a request is first with it: free, under its own key, by its own credential."""
    line = usage_line(key, org=key.organization.public_id, charge_nanos=CHARGE)
    theirs = {**line, "key": rival.public_id, "org": "", "outcome": "refused", "usage": {}, "source": "edge"}
    post(theirs, source="edge", organizations=[rival.organization.public_id])
    segment = post(line)
    assert (segment.new, segment.duplicate, segment.quarantined) == (0, 0, 1)
    return line, QuarantinedLine.objects.get()


def balance(key: ApiKey) -> int:
    return Balance.objects.get(organization=key.organization).nanos


def unproved() -> list[str]:
    """Days that are over aren't closed here."""
    return [result.name for result in prove(now()) if not result.ok and result.name != "nothing_stuck"]


def test_whoever_was_first_with_an_id_takes_nobodys_charge_away(key: ApiKey, rival: ApiKey) -> None:
    line, waiting = squatted(key, rival)
    assert waiting.reason == "differs"
    replay_line(waiting, actor=make_user("staff@example.com"), now=now())
    post_waiting()
    event = UsageEvent.objects.get(organization=key.organization)
    assert event.charge_nanos == CHARGE
    # Another id, of the same millisecond: the same day, and the same price.
    assert (str(event.id)[:13], str(event.id) == line["id"]) == (line["id"][:13], False)
    assert balance(key) == DOLLAR - CHARGE
    assert unproved() == []
    assert red() == {}


def test_the_same_line_again_is_charged_once(key: ApiKey, rival: ApiKey) -> None:
    line, _ = squatted(key, rival)
    post({**line, "ttft_ms": 4})
    run = start_run(Kind("differs"), QuarantineRun.Action.REPLAY, actor=make_user("staff@example.com"), now=now())
    assert run
    while go_on(run.pk, now()):
        pass
    post_waiting()
    replay = Segment.objects.get(origin="replay")
    assert (replay.lines, replay.new, replay.duplicate) == (2, 1, 1)
    assert balance(key) == DOLLAR - CHARGE


def test_the_first_can_be_voided_where_it_was_the_wrong_one(key: ApiKey) -> None:
    wrong = usage_line(key, usage={"input_tokens": 10**6})
    post(wrong)
    post({**wrong, "usage": {"input_tokens": 1000, "output_tokens": 100}, "seq": 2})
    replay_line(QuarantinedLine.objects.get(), actor=make_user("staff@example.com"), now=now())
    post_waiting()
    correct(one_event(UsageEvent.objects.get(seq=1).pk), void, what="x", reason="y", actor=None, clock=now)
    assert balance(key) == DOLLAR - CHARGE
    assert unproved() == []


def test_what_its_request_holds_stays_set_aside_until_a_person_decides(
    key: ApiKey, rival: ApiKey, empty_valkey: None, django_capture_on_commit_callbacks: Any
) -> None:
    for resolve in (replay_line, discard_line):
        line = usage_line(key, org=key.organization.public_id, charge_nanos=CHARGE)
        hold = Hold(line["org"], line["id"], holds.SETTLED, CHARGE, key.public_id)
        holds.register(valkey(), [hold], until_ms=0)
        with django_capture_on_commit_callbacks(execute=True):
            post({**line, "key": rival.public_id, "org": ""})
            post(line)
        assert holds.find(hold.org, hold.request_id) == hold
        reason: dict[str, Any] = {"reason": "x"} if resolve is discard_line else {}
        with django_capture_on_commit_callbacks(execute=True):
            waiting = QuarantinedLine.objects.open().get()
            resolve(waiting, actor=make_user(f"{resolve.__name__}@example.com"), now=now(), **reason)
        assert holds.find(hold.org, hold.request_id) is None


def test_an_id_of_its_own_follows_from_what_the_line_says(key: ApiKey) -> None:
    line = usage_line(key)
    contents = [
        line,
        {**line, "seq": 9, "ttft_ms": 5, "usage": {"output_tokens": 100, "requests": 0, "input_tokens": 1000}},
        {**line, "usage": {"input_tokens": 1}},
        {**line, "outcome": "timeout"},
        {**line, "model": "other"},
        {**line, "key": "key_other"},
        {**line, "variant": "hd"},
    ]
    ids = [msgspec.json.decode(as_own_event(msgspec.json.encode(content)))["id"] for content in contents]
    assert ids[0] == ids[1]
    assert len({line["id"], *ids}) == 7
    assert {found[:13] for found in ids} == {line["id"][:13]}


@pytest.mark.parametrize(
    ("twice", "detail"),
    [
        (b'"usage":{"input_tokens":1},"usage":', "says `usage` twice"),
        (b'"usage":{"input_tokens":1,"input_tokens":1000,"output_tokens":100},"variant":"","usage" :', "twice"),
        (b'"\\u0075sage":{},"usage":', "twice"),
    ],
)
def test_a_line_of_two_meanings_waits(key: ApiKey, twice: bytes, detail: str) -> None:
    line = msgspec.json.encode(usage_line(key, source="edge"))
    sender = Sender(source="edge", origin=Segment.Origin.API, credential="edge", mark="1")
    segment, _ = receive_batch([line.replace(b'"usage":', twice)], sender, FORMATS[KEYMETER], now=now())
    post_segment(segment.pk, now=now())
    waiting = QuarantinedLine.objects.get()
    assert (waiting.reason, detail in waiting.detail) == ("malformed", True)


@pytest.mark.parametrize(
    ("text", "reason"), [(rb"a\\u0000", ""), (rb"a\u0000", "malformed"), (rb"a\\\u0000", "malformed")]
)
def test_only_a_real_nul_is_refused(key: ApiKey, text: bytes, reason: str) -> None:
    line = msgspec.json.encode(usage_line(key, variant="TEXT")).replace(b"TEXT", text)
    post_segment(make_segment(line).pk, now=now())
    assert [one.reason for one in QuarantinedLine.objects.all()] == [reason] * bool(reason)
    assert UsageEvent.objects.count() == (not reason)
