"""A key about itself: what it may, and what is left of it."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.keys import revoke_key
from accounts.organizations import set_limits
from billing.posting import post_segment
from hotstate.records import Limits
from tests.cast import DOLLAR, make_segment
from tests.gateway.conftest import RunningGateway
from tests.gateway.other_gateway import INVALID, NOW, OtherGateway, other
from tests.gateway.test_limits import limit_key

__all__ = ["other"]


class TestAKeyAboutItself:
    def test_it_tells_what_it_may(self, gateway: RunningGateway) -> None:
        key = limit_key(
            gateway,
            requests_per_minute=5,
            concurrent_requests=2,
            budget_day_nanos=DOLLAR,
            allowed_models=["demo-*"],
            allowed_networks=["127.0.0.0/8"],
            expires_at=NOW.replace(microsecond=0) + timedelta(days=1),
        )
        assert gateway.chat().status == 200
        (line,) = gateway.lines()
        answer = gateway.request("GET", "/v1/key")
        assert answer.status == 200
        told = answer.json
        assert (told["id"], told["organization"]) == (key.public_id, gateway.organization.public_id)  # type: ignore[union-attr]
        assert told["scopes"] == ["chat", "embeddings", "models"]
        assert (told["models"], told["networks"]) == (["demo-*"], ["127.0.0.0/8"])
        assert datetime.fromisoformat(told["expires_at"]) == key.expires_at
        limit, at_once = told["limits"]
        assert (limit["name"], limit["limit"], limit["left"]) == ("key.requests_per_minute", 5, 4)
        assert 0 < limit["back_ms"] <= 12_000
        assert at_once == {"name": "key.concurrent_requests", "limit": 2, "left": 2, "back_ms": None}
        assert told["concurrent_requests"] == 2
        charged = line["charge_nanos"]
        assert told["budgets"] == [
            {
                "window": "day",
                "limit_nanos": DOLLAR,
                "spent_nanos": 0,
                "held_nanos": charged,
                "left_nanos": DOLLAR - charged,
            }
        ]

    def test_what_runs_counts_on_the_key_and_its_organization(self, other: OtherGateway) -> None:
        limit_key(other.asked, concurrent_requests=3)
        organization = other.asked.organization
        assert organization
        set_limits(organization, Limits(concurrent_requests=10), overdraft_nanos=0, actor=None, reason="", now=NOW)
        other.verify()
        told = other.asked.request("GET", "/v1/key").json["limits"]
        assert [(it["name"], it["left"]) for it in told] == [
            ("key.concurrent_requests", 2),
            ("organization.concurrent_requests", 9),
        ]

    def test_what_was_posted_is_spent(self, gateway: RunningGateway) -> None:
        key = limit_key(gateway, budget_total_nanos=DOLLAR)
        gateway.chat()
        (line,) = gateway.lines()
        post_segment(make_segment(gateway.logged(), source=line["source"]).pk, now=datetime.now(UTC))
        (budget,) = gateway.request("GET", "/v1/key").json["budgets"]
        assert (budget["window"], budget["spent_nanos"], budget["held_nanos"]) == ("total", line["charge_nanos"], 0)
        assert key.budget_total_nanos == budget["left_nanos"] + budget["spent_nanos"]

    @pytest.mark.parametrize("scopes", [["chat"], ["embeddings"], ["models"]])
    def test_any_scope_will_do_and_nothing_is_taken(self, gateway: RunningGateway, scopes: list[str]) -> None:
        limit_key(gateway, scopes=scopes, requests_per_minute=1)
        assert [gateway.request("GET", "/v1/key").json["limits"][0]["left"] for _ in range(3)] == [1, 1, 1]
        assert gateway.held_nanos() == 0

    def test_errors_are_as_everywhere(self, gateway: RunningGateway) -> None:
        assert gateway.request("GET", "/v1/key", secret="").error == (401, INVALID, "invalid_api_key")
        assert gateway.request("POST", "/v1/key").error == (405, INVALID, "method_not_allowed")
        revoke_key(gateway.key, actor=None, now=NOW)  # type: ignore[arg-type]
        assert gateway.request("GET", "/v1/key").error == (401, INVALID, "invalid_api_key")
