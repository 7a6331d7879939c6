"""What a gateway tells Prometheus, and to whom."""

from typing import Any

import pytest

from tests.gateway.conftest import RunningGateway

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = "a token that only the scraper has, 32"


def scraped(gateway: RunningGateway) -> dict[str, float]:
    answer = gateway.request("GET", "/metrics", secret=TOKEN)
    assert answer.status == 200
    lines = answer.body.decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_without_the_token_there_is_nothing(gateway: RunningGateway, settings: Any) -> None:
    assert gateway.request("GET", "/metrics", secret="").status == 404
    settings.METRICS_TOKEN = TOKEN
    assert gateway.request("GET", "/metrics", secret="another").status == 404
    assert gateway.request("GET", "/metrics", secret="").status == 404


def test_decisions_holds_and_look_ups_are_counted(gateway: RunningGateway, settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN
    before = scraped(gateway)
    for _ in range(3):
        assert gateway.chat().status == 200
    gateway.lines(3)
    assert gateway.request("GET", "/v1/models", secret="nonsense").status == 401
    after = scraped(gateway)

    def grew(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grew('keymeter_decisions_total{face="api",verdict="allowed"}') == 3
    assert grew('keymeter_decisions_total{face="api",verdict="malformed"}') == 1
    assert grew("keymeter_decision_seconds_count") == 3
    assert grew('keymeter_holds_total{end="settled"}') == 3
    assert grew('keymeter_key_cache_total{result="miss"}') == 1
    assert grew('keymeter_key_cache_total{result="hit"}') == 2
    assert after["keymeter_holds_open"] == 0
