"""What a gateway tells Prometheus, and to whom. Each number changes by as many requests as made it change."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from accounts.secrets import generate
from hotstate import decision_log, names
from hotstate.client import valkey
from tests.cast import make_key, request_id
from tests.gateway.conftest import RunningGateway, Says, free_port
from tests.gateway.other_gateway import OtherGateway, other
from tests.gateway.scripted import ANSWER, whole
from tests.gateway.serving import serving
from tests.waiting import wait_until

__all__ = ["other"]

TOKEN = "a token that only the scraper has, 32"
OPEN, GRANTED = "keymeter_holds_open", "keymeter_holds_granted"
Grew = Callable[[str], float]


def scraped(gateway: RunningGateway) -> dict[str, float]:
    answer = gateway.request("GET", "/metrics", secret=TOKEN)
    assert answer.status == 200
    lines = answer.body.decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


@pytest.fixture
def grew(gateway: RunningGateway, settings: Any) -> Grew:
    """By how much a number differs from what it was when the test began."""
    settings.METRICS_TOKEN = TOKEN
    before = scraped(gateway)
    return lambda name: scraped(gateway).get(name, 0) - before.get(name, 0)


def test_without_the_token_there_is_nothing(gateway: RunningGateway, settings: Any) -> None:
    assert gateway.request("GET", "/metrics", secret="").status == 404
    settings.METRICS_TOKEN = TOKEN
    assert gateway.request("GET", "/metrics", secret="another").status == 404
    assert gateway.request("GET", "/metrics", secret="").status == 404


def test_decisions_and_settled_holds(gateway: RunningGateway, grew: Grew) -> None:
    for _ in range(3):
        assert gateway.chat().status == 200
    gateway.lines(3)
    assert gateway.request("GET", "/v1/models", secret="nonsense").status == 401
    assert grew('keymeter_decisions_total{face="api",verdict="allowed"}') == 3
    assert grew('keymeter_decisions_total{face="api",verdict="malformed"}') == 1
    assert grew("keymeter_decision_seconds_count") == 3
    assert grew('keymeter_holds_total{end="settled"}') == 3
    assert grew('keymeter_holds_total{end="released"}') == 0


def test_look_ups_of_keys(gateway: RunningGateway, grew: Grew) -> None:
    secrets = [gateway.secret] * 3 + [generate("km-sk").text] * 4
    assert [gateway.request("GET", "/v1/models", secret=secret).status for secret in secrets] == [200] * 3 + [401] * 4
    assert grew('keymeter_key_cache_total{result="miss"}') == 2
    assert grew('keymeter_key_cache_total{result="hit"}') == 2
    assert grew('keymeter_key_cache_total{result="unknown"}') == 3


def test_requests_that_run_are_open_holds(gateway: RunningGateway, grew: Grew, says: Says) -> None:
    gate = Event()
    says(gate, whole(ANSWER))
    running = [Thread(target=gateway.chat) for _ in range(3)]
    for one in running:
        one.start()
    wait_until(lambda: gateway.open_holds() == 3, "three requests to run")
    assert (grew(OPEN), grew(GRANTED)) == (3, 0)
    gate.set()
    for one in running:
        one.join(20)
    gateway.lines(3)
    wait_until(lambda: grew(OPEN) == 0, "none to be open")


def test_what_other_gateways_were_allowed_is_granted_until_it_ends(
    gateway: RunningGateway, other: OtherGateway, grew: Grew
) -> None:
    brought = str(request_id(datetime.now(UTC)))
    told = [other.verify(request_id=brought).json, other.verify().json, other.verify().json]
    assert other.check().status == 200
    assert not other.verify("nonsense").json["valid"]
    assert other.verify(request_id=brought).json["valid"]
    assert (grew(OPEN), grew(GRANTED)) == (0, 4)
    assert other.settle(told[0]).json["settled"]
    released = [{"request_id": each["request_id"], "org": each["org"]} for each in (told[1], told[1], told[2])]
    answers = [other.call("/v1/keys/release", each).json["released"] for each in released]
    assert answers == [True, False, True]
    assert (grew(OPEN), grew(GRANTED)) == (0, 1)
    assert grew('keymeter_holds_total{end="settled"}') == 1
    assert grew('keymeter_holds_total{end="released"}') == 2


def test_what_nobody_ends_is_granted_until_its_lease_ends(
    other: OtherGateway, grew: Grew, settings: Any, tmp_path: Path
) -> None:
    settings.GATEWAY_SPOOL_DIR, settings.HOLD_LEASE_SECONDS = tmp_path, 10
    with serving(tmp_path, free_port()) as own:
        mine = OtherGateway(RunningGateway(own.port, tmp_path, own.application, other.asked.secret), other.credential)
        assert mine.verify().json["valid"]
        assert grew(GRANTED) == 1
        wait_until(lambda: grew(GRANTED) == 0, "its lease to end")


def test_calls_that_valkey_does_not_answer(other: OtherGateway, grew: Grew) -> None:
    """One for each decision that it can't make: it says that the holds of this organization are no such thing."""
    assert other.verify(endpoint="models", model=None).json["valid"]
    assert grew("keymeter_valkey_errors_total") == 0
    assert other.asked.organization
    valkey().set(names.holds_of(other.asked.organization.public_id), "no hash")
    for count in (1, 2):
        # What is asked again with its id isn't released, which would be another call.
        assert other.verify(request_id=str(request_id(datetime.now(UTC)))).status == 503
        assert grew("keymeter_valkey_errors_total") == count
    assert grew('keymeter_decisions_total{face="verify",verdict="allowed"}') == 1


def test_decisions_whose_record_can_not_be_kept(gateway: RunningGateway, grew: Grew) -> None:
    gateway.key, gateway.secret = make_key(gateway.organization, scopes=["models"])  # type: ignore[arg-type]
    unexplained = "keymeter_decisions_unexplained_total"
    assert gateway.organization
    stream = decision_log.stream_of(gateway.organization.public_id)
    assert gateway.chat().error[2] == "missing_scope"
    wait_until(lambda: valkey().exists(stream), "the refusal to be recorded")
    assert grew(unexplained) == 0
    valkey().set(stream, "no stream")
    for _ in range(3):
        assert gateway.chat().error[2] == "missing_scope"
    wait_until(lambda: grew(unexplained) == 3, lambda: f"three to be dropped, not {grew(unexplained)}")


def test_requests_to_upstreams(gateway: RunningGateway, grew: Grew, says: Says) -> None:
    assert [gateway.chat().status for _ in range(2)] == [200, 200]
    says(whole(b"{}", status="400 Bad Request"))
    assert gateway.chat().status == 400
    assert grew('keymeter_upstream_attempts_total{outcome="answered"}') == 2
    assert grew('keymeter_upstream_attempts_total{outcome="refused"}') == 1
