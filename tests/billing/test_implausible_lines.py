"""One line, whatever it says, never keeps the others of its segment waiting."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from accounts.models import ApiKey
from api.segments import LARGEST_SEGMENT
from billing.lines import parse
from billing.meters import MOST_UNITS
from billing.models import Balance, QuarantinedLine, Segment, UsageEvent
from billing.posting import post_segment
from billing.rated import MOST_PER_REQUEST
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
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
