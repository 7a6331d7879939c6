"""docs/faces.md says for each face how far an organization can be overdrawn: so far, and no further."""

from datetime import UTC, datetime, timedelta
from typing import Any

from billing.models import Balance
from billing.posting import post_segment
from hotstate import holds
from tests.cast import DOLLAR, give_credit, make_key, make_organization, make_segment
from tests.gateway.conftest import Says
from tests.gateway.other_gateway import OtherGateway, other, spend_nanos
from tests.gateway.scripted import whole

__all__ = ["other"]

ONE = spend_nanos(100 + 64, 100)
ESTIMATE = DOLLAR // 100
DEAR = {"input_tokens": 0, "output_tokens": 1_000}
DEAR_NANOS = spend_nanos(0, 1_000)


def poor(other: OtherGateway, nanos: int) -> None:
    """From now on an organization that has so much asks."""
    gateway = other.asked
    gateway.organization = make_organization("Thrifty")
    give_credit(gateway.organization, nanos)
    gateway.key, gateway.secret = make_key(gateway.organization)


def balance_after_posting(other: OtherGateway) -> int:
    """In nano-dollars; nothing is held any more."""
    segment = make_segment(other.asked.logged(), source=other.asked.source)
    post_segment(segment.pk, now=datetime.now(UTC))
    assert other.asked.held_nanos() == 0
    return Balance.objects.get(organization=other.asked.organization).nanos


def answer(prompt: int, completion: int) -> bytes:
    usage = f'{{"prompt_tokens": {prompt}, "completion_tokens": {completion}}}'
    return whole(f'{{"choices": [{{"message": {{"content": "hi"}}}}], "usage": {usage}}}'.encode())


class TestInProcess:
    BODY = b'{"model": "demo-chat", "messages": [], "max_tokens": 100}'
    MOST_INPUT = len(BODY) + 64

    def chat(self, other: OtherGateway) -> Any:
        return other.asked.post("/v1/chat/completions", self.BODY)

    def test_what_was_allowed_never_overdraws(self, other: OtherGateway, says: Says) -> None:
        """The worst case that the request allows takes the balance to nothing, exactly."""
        poor(other, spend_nanos(self.MOST_INPUT, 100))
        says(answer(self.MOST_INPUT, 100))
        assert [self.chat(other).status for _ in range(2)] == [200, 429]
        assert balance_after_posting(other) == 0
        assert self.chat(other).status == 429

    def test_an_upstream_that_reports_more_than_it_may_is_the_bound(self, other: OtherGateway, says: Says) -> None:
        poor(other, spend_nanos(self.MOST_INPUT, 100))
        says(answer(self.MOST_INPUT, 150))
        assert self.chat(other).status == 200
        # Its charge is held at once: the next one is refused before the posting.
        assert self.chat(other).status == 429
        assert balance_after_posting(other) == -spend_nanos(0, 50)
        assert self.chat(other).status == 429


class TestJson:
    def test_what_was_told_never_overdraws(self, other: OtherGateway) -> None:
        poor(other, 2 * ONE + ONE - 1)
        told = [other.verify().json for _ in range(3)]
        assert [each["valid"] for each in told] == [True, True, False]
        for each in told[:2]:
            other.settle(each, usage={"input_tokens": 164, "output_tokens": 100})
        assert balance_after_posting(other) == ONE - 1
        assert not other.verify().json["valid"]

    def test_what_is_let_through_beyond_is_the_bound(self, other: OtherGateway) -> None:
        poor(other, ONE)
        assert other.settle(other.verify().json, usage=DEAR).json["settled"]
        assert not other.verify().json["valid"]
        assert balance_after_posting(other) == ONE - DEAR_NANOS

    def test_a_request_that_outlives_its_lease_is_the_bound(self, other: OtherGateway) -> None:
        poor(other, ONE)
        late = other.verify().json
        assert not other.verify().json["valid"]
        assert holds.sweep_lapsed(datetime.now(UTC) + timedelta(hours=1)) >= 1
        assert other.asked.held_nanos() == 0
        other.settle(other.verify().json, usage={"input_tokens": 164, "output_tokens": 100})
        # What is late has no hold any more, but its charge is posted.
        assert other.settle(late, usage={"input_tokens": 164, "output_tokens": 100}).json["settled"] is False
        assert balance_after_posting(other) == -ONE
        assert not other.verify().json["valid"]


class TestForwardAuth:
    def test_each_request_may_cost_more_than_its_estimate(self, other: OtherGateway) -> None:
        """At once: as many requests as the balance has estimates; each overdraws by its charge less the estimate."""
        poor(other, 3 * ESTIMATE)
        passed = [other.check() for _ in range(4)]
        assert [each.status for each in passed] == [200, 200, 200, 429]
        for each in passed[:3]:
            named = {"request_id": each.headers["x-request-id"], "key": each.headers["x-key-id"]}
            assert other.settle({**named, "org": each.headers["x-org-id"]}, usage=DEAR).json["settled"]
            assert other.check().status == 429
        assert balance_after_posting(other) == 3 * (ESTIMATE - DEAR_NANOS) < 0
        assert other.check().status == 429

    def test_after_the_lease_the_whole_charge_can_be_overdrawn(self, other: OtherGateway) -> None:
        poor(other, ESTIMATE)
        late = other.check()
        assert [late.status, other.check().status] == [200, 429]
        holds.sweep_lapsed(datetime.now(UTC) + timedelta(hours=1))
        assert other.check().status == 200
        named = {"request_id": late.headers["x-request-id"], "key": late.headers["x-key-id"]}
        assert other.settle({**named, "org": late.headers["x-org-id"]}, usage=DEAR).json["settled"] is False
        segment = make_segment(other.asked.logged(), source=other.asked.source)
        post_segment(segment.pk, now=datetime.now(UTC))
        assert Balance.objects.get(organization=other.asked.organization).nanos == ESTIMATE - DEAR_NANOS
        assert other.check().status == 429
