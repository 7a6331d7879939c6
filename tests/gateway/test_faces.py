"""The decision's other faces, over HTTP: a key about itself, JSON for gateways, forward-auth."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from accounts.keys import revoke_key
from accounts.organizations import set_limits, suspend
from accounts.secrets import generate
from billing.posting import post_segment
from gateway.credentials import create_credential
from gateway.errors import refusal
from gateway.forward_auth import IDENTITY_HEADERS
from gateway.models import GatewayCredential
from gateway.verdicts import Verdict
from hotstate.errors import Unreachable
from hotstate.records import Limits
from tests.cast import DOLLAR, give_credit, make_key, make_organization, make_segment, request_id
from tests.gateway.conftest import POLL_SECONDS, Answer, RunningGateway
from tests.gateway.serving import wait_until
from tests.gateway.test_limits import change_key, limit_key

NOW = datetime.now(UTC)
INVALID = "invalid_request_error"
NO_GATEWAY = (401, INVALID, "invalid_gateway_credential")
CHAT_PATH = "/auth/check/v1/chat/completions"
TEMPLATE = 64


@dataclass
class OtherGateway:
    """Somebody else's gateway, asking this one."""

    asked: RunningGateway
    credential: str
    name: str = ""

    def call(self, path: str, body: Any) -> Answer:
        return self.asked.post(path, body, secret="", headers={"X-Gateway-Credential": self.credential})

    def verify(self, secret: str | None = None, **fields: Any) -> Answer:
        asks = {"endpoint": "chat.completions", "model": "demo-chat", "address": "127.0.0.1", "input_tokens": 100}
        key = self.asked.secret if secret is None else secret
        return self.call("/v1/keys/verify", {"key": key, **asks, "max_output_tokens": 100, **fields})

    def settle(self, verdict: dict[str, Any], **fields: Any) -> Answer:
        usage = {"requests": 1, "input_tokens": 90, "output_tokens": 50}
        named = {"request_id": verdict["request_id"], "key": verdict["key"], "org": verdict["org"]}
        went = {"model": "demo-chat", "endpoint": "chat.completions", "status": 200, "outcome": "completed"}
        return self.call("/v1/keys/settle", {**named, **went, "usage": usage, **fields})

    def check(self, path: str = CHAT_PATH, *, method: str = "GET", secret: str | None = None, **headers: str) -> Answer:
        sent = {"X-Gateway-Credential": self.credential, "X-Forwarded-For": "127.0.0.1"}
        sent |= {name.replace("__", "-"): value for name, value in headers.items()}
        return self.asked.request(method, path, secret=secret, headers=sent)


@pytest.fixture
def other(gateway: RunningGateway) -> OtherGateway:
    name = f"edge-{uuid4().hex}"
    return OtherGateway(gateway, create_credential(name, sources=["edge-*"], now=NOW)[1], name)


def spend_nanos(input_tokens: int, output_tokens: int) -> int:
    return input_tokens * 3_000 + output_tokens * 15_000


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


class TestCredentials:
    PATHS = ("/v1/keys/verify", "/v1/keys/settle", "/v1/keys/release", "/auth/check", CHAT_PATH)

    @pytest.mark.parametrize("shown", ["", "short", "km-gw-" + "a" * 46, "x" * 5000])
    @pytest.mark.parametrize("path", PATHS)
    def test_nobody_else_may_ask(self, other: OtherGateway, path: str, shown: str) -> None:
        headers = {"X-Gateway-Credential": shown} if shown else {}
        # What forward-auth says is shown to a customer, whose key isn't to blame.
        expected = (503, "server_error", "invalid_gateway_credential") if path.startswith("/auth") else NO_GATEWAY
        assert other.asked.request("POST", path, b"{}", headers=headers).error == expected

    def test_it_is_not_believed_in_the_authorization_header(self, other: OtherGateway) -> None:
        assert other.asked.post("/v1/keys/verify", {}, secret=other.credential).error == NO_GATEWAY

    def test_a_customers_key_is_no_credential(self, other: OtherGateway) -> None:
        headers = {"X-Gateway-Credential": other.asked.secret}
        assert other.asked.post("/v1/keys/verify", {}, headers=headers).error == NO_GATEWAY

    def test_one_that_was_revoked_stops_working(self, other: OtherGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.known_gateways.FOUND_FOR_SECONDS", 0.0)
        assert other.verify().status == 200
        GatewayCredential.objects.update(revoked_at=NOW)
        assert other.verify().error == NO_GATEWAY

    def test_it_is_looked_up_once_in_a_while(self, other: OtherGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        # By then the gateway knows that credentials changed when this one was made.
        time.sleep(10 * POLL_SECONDS)
        assert other.verify().status == 200
        monkeypatch.setattr("gateway.known_gateways.find_credential", lambda _: 1 / 0)
        assert other.verify().status == 200

    def test_nothing_is_said_while_the_database_is_away(
        self, other: OtherGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django.db import OperationalError

        def away(_: str) -> None:
            raise OperationalError("away")

        monkeypatch.setattr("gateway.known_gateways.FOUND_FOR_SECONDS", 0.0)
        known = OtherGateway(other.asked, create_credential(uuid4().hex, sources=[], now=NOW)[1])
        time.sleep(10 * POLL_SECONDS)
        assert known.verify().status == 200
        monkeypatch.setattr("gateway.known_gateways.find_credential", away)
        assert known.verify().status == 200
        assert other.verify().error == (503, "server_error", "service_unavailable")
        assert other.check("/auth/check/v1/models").error == (503, "server_error", "service_unavailable")


def refused(gateway: RunningGateway, verdict: Verdict) -> str:
    """A secret that has this verdict on a request for demo-chat, made by 127.0.0.1."""
    organization = gateway.organization
    assert organization
    if verdict is Verdict.MALFORMED:
        return "nonsense"
    if verdict is Verdict.UNKNOWN:
        return generate("km-sk").text
    if verdict is Verdict.INSUFFICIENT_BALANCE:
        return make_key(make_organization("Poor"))[1]
    key, secret = make_key(organization)
    changes: dict[Verdict, dict[str, Any]] = {
        Verdict.EXPIRED: {"expires_at": NOW - timedelta(seconds=1)},
        Verdict.ADDRESS_NOT_ALLOWED: {"allowed_networks": ["10.0.0.0/8"]},
        Verdict.SCOPE_MISSING: {"scopes": ["models"]},
        Verdict.MODEL_NOT_FOUND: {"allowed_models": ["other"]},
        Verdict.BUDGET_EXHAUSTED: {"budget_day_nanos": 1},
        Verdict.RATE_LIMITED: {"requests_per_minute": 1},
        Verdict.CONCURRENCY_LIMITED: {"concurrent_requests": 1},
    }
    change_key(key, **changes.get(verdict, {}))
    if verdict is Verdict.REVOKED:
        revoke_key(key, actor=None, now=NOW)
    if verdict is Verdict.SUSPENDED:
        suspend(organization, actor=None, reason="test", now=NOW)
    return secret


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_through_every_face(other: OtherGateway, verdict: Verdict) -> None:
    secret = refused(other.asked, verdict)
    if verdict in (Verdict.RATE_LIMITED, Verdict.CONCURRENCY_LIMITED):
        assert other.verify(secret).json["valid"]

    told = other.verify(secret)
    assert told.status == 200
    assert (told.json["code"], told.json["valid"]) == (verdict, verdict is Verdict.ALLOWED)
    assert (told.json["hold"] is not None) == (verdict is Verdict.ALLOWED)
    checked = other.check(secret=secret, X__Auth__Model="demo-chat")
    nginx = other.check(CHAT_PATH + "?profile=nginx", secret=secret, X__Auth__Model="demo-chat")
    other.asked.secret = secret
    proxied = other.asked.chat(max_tokens=100)
    if verdict is Verdict.ALLOWED:
        assert (checked.status, nginx.status, nginx.headers["x-auth-status"]) == (200, 200, "200")
        assert proxied.status == 200
        return
    error = refusal(verdict)
    assert proxied.error == (error.status, error.type, error.code)
    assert proxied.json == checked.json or verdict is Verdict.RATE_LIMITED
    for header in ("retry-after", "retry-after-ms", "x-should-retry"):
        assert (header in proxied.headers) == (header in checked.headers) == (header in nginx.headers)
    assert checked.error == (error.status, error.type, error.code)
    assert (told.json["status"], told.json["error"]) == (error.status, checked.json)
    assert nginx.status == (401 if error.status == 401 else 403)
    assert (nginx.headers["x-auth-status"], nginx.headers["x-auth-code"]) == (str(error.status), error.code)
    assert nginx.json == checked.json or verdict is Verdict.RATE_LIMITED
    # nginx drops the body of a refusal, and passes on this header.
    assert json.loads(nginx.headers["x-auth-error"]) == nginx.json
    if verdict is Verdict.RATE_LIMITED:
        assert told.json["retry_after_ms"] > 0
        assert checked.headers["retry-after"]
    if error.status == 429 and verdict not in (Verdict.RATE_LIMITED, Verdict.CONCURRENCY_LIMITED):
        assert checked.headers["x-should-retry"] == "false"


class TestJson:
    def test_what_an_allowed_request_is_told(self, other: OtherGateway) -> None:
        key = limit_key(other.asked, requests_per_minute=3, allowed_models=["demo-*"])
        told = other.verify().json
        assert told["hold"] == spend_nanos(100 + TEMPLATE, 100) == other.asked.held_nanos()
        assert (told["key"], told["org"]) == (key.public_id, key.organization.public_id)
        assert (told["scopes"], told["models"]) == (["chat", "embeddings", "models"], ["demo-*"])
        assert (told["model_checked"], told["tokens"], told["retry_after_ms"]) == (True, 200, None)
        assert told["route"]
        (limit,) = told["limits"]
        assert (limit["name"], limit["limit"], limit["left"]) == ("key.requests_per_minute", 3, 2)

    def test_a_request_of_unknown_size_holds_what_the_model_can_take(self, other: OtherGateway) -> None:
        from catalog.models import Model

        model = Model.objects.get()
        give_credit(other.asked.organization, 100 * DOLLAR, key="more")  # type: ignore[arg-type]
        told = other.verify(input_tokens=None, max_output_tokens=None)
        assert told.json["hold"] == spend_nanos(model.context_window + TEMPLATE, model.max_output_tokens)
        assert other.verify(input_tokens=None, input_bytes=50).json["hold"] == spend_nanos(50 + TEMPLATE, 100)

    def test_without_a_model_the_estimate_is_held_and_the_answer_says_so(
        self, other: OtherGateway, settings: Any
    ) -> None:
        told = other.verify(model=None).json
        assert (told["valid"], told["model_checked"], told["route"]) == (True, False, None)
        assert told["hold"] == settings.FORWARD_AUTH_HOLD_NANOS == DOLLAR // 100

    def test_listing_models_holds_nothing(self, other: OtherGateway) -> None:
        told = other.verify(endpoint="models", model=None).json
        assert (told["valid"], told["hold"]) == (True, None)
        assert other.asked.open_holds() == 0

    def test_the_same_request_twice_holds_once(self, other: OtherGateway) -> None:
        limit_key(other.asked, requests_per_minute=1)
        brought = str(request_id(datetime.now(UTC)))
        answers = [other.verify(request_id=brought).json for _ in range(3)]
        assert [(answer["valid"], answer["request_id"]) for answer in answers] == [(True, brought)] * 3
        assert other.asked.held_nanos() == answers[0]["hold"]
        assert other.asked.open_holds() == 1

    def test_the_id_of_another_request_is_refused(self, other: OtherGateway) -> None:
        """Of another key, of one that holds less, of one that has ended: what isn't held isn't allowed."""
        _, secret = make_key(other.asked.organization)
        used = (409, INVALID, "request_id_used")
        brought = str(request_id(datetime.now(UTC)))
        told = other.verify(request_id=brought).json
        held = other.asked.held_nanos()
        assert other.verify(secret, request_id=brought).error == used
        assert other.verify(request_id=brought, max_output_tokens=101).error == used
        assert other.verify(request_id=brought, max_output_tokens=99).json["valid"]
        assert other.asked.held_nanos() == held
        other.settle(told)
        assert other.verify(request_id=brought).error == used

    def test_settled_exactly(self, other: OtherGateway) -> None:
        told = other.verify().json
        answer = other.settle(told)
        assert answer.status == 200
        charge = spend_nanos(90, 50)
        assert answer.json == {"request_id": told["request_id"], "settled": True, "charge": charge}
        (line,) = other.asked.lines()
        assert (line["id"], line["charge_nanos"], line["via"]) == (told["request_id"], charge, other.name)
        assert line["source"].startswith("gw-")
        assert other.asked.held_nanos() == charge

    def test_settling_twice_is_one_event(self, other: OtherGateway) -> None:
        from billing.models import Balance, UsageEvent

        told = other.verify().json
        assert [other.settle(told).json["settled"] for _ in range(2)] == [True, False]
        (line, _) = other.asked.lines(2)
        post_segment(make_segment(other.asked.logged(), source=line["source"]).pk, now=datetime.now(UTC))
        assert UsageEvent.objects.get(pk=told["request_id"]).charge_nanos == spend_nanos(90, 50)
        assert Balance.objects.get(organization=other.asked.organization).nanos == DOLLAR - spend_nanos(90, 50)
        assert other.asked.held_nanos() == 0

    def test_nobody_else_ends_a_request(self, other: OtherGateway) -> None:
        """Not what another gateway holds, nor what was answered here."""
        credential, secret = create_credential(f"second {uuid4()}", sources=["gw-*"], now=datetime.now(UTC))
        second = OtherGateway(other.asked, secret, credential.name)
        told = other.verify().json
        ended = {"request_id": told["request_id"], "org": told["org"]}
        assert second.settle(told).error == (409, INVALID, "request_id_used")
        assert second.call("/v1/keys/release", ended).json["released"] is False
        assert other.asked.held_nanos() == told["hold"]
        assert other.settle(told).json["settled"]
        answered = other.asked.chat().headers["x-request-id"]
        assert second.settle({**told, "request_id": answered}).error == (409, INVALID, "request_id_used")

    def test_an_id_that_was_posted_leaves_no_hold_when_it_is_used_again(self, other: OtherGateway) -> None:
        brought = str(request_id(datetime.now(UTC)))
        for _ in range(2):
            other.settle(other.verify(request_id=brought).json)
            assert other.asked.held_nanos()
            segment = make_segment(other.asked.logged(), source=other.asked.source)
            post_segment(segment.pk, now=datetime.now(UTC))
            assert other.asked.held_nanos() == 0

    def test_tokens_are_corrected_by_what_was_estimated(self, other: OtherGateway) -> None:
        limit_key(other.asked, tokens_per_minute=1000)
        told = other.verify(max_output_tokens=800).json
        assert told["limits"][0]["left"] < 150
        other.settle(told, tokens=told["tokens"])
        (limit,) = other.asked.request("GET", "/v1/key").json["limits"]
        assert 850 <= limit["left"] <= 900

    def test_released_leaves_nothing(self, other: OtherGateway) -> None:
        told = other.verify().json
        gone = {"request_id": told["request_id"], "org": told["org"]}
        assert [other.call("/v1/keys/release", gone).json["released"] for _ in range(2)] == [True, False]
        assert (other.asked.held_nanos(), other.asked.lines(0)) == (0, [])

    def test_what_failed_costs_nothing(self, other: OtherGateway) -> None:
        assert other.settle(other.verify().json, outcome="upstream_error", status=502).json["charge"] == 0
        assert other.asked.held_nanos() == 0

    @pytest.mark.parametrize(
        "fields",
        [
            {"endpoint": "nothing"},
            {"model": ""},
            {"model": 5},
            {"max_output_tokens": 0},
            {"max_output_tokens": 10**30},
            {"input_tokens": -1},
            {"surprise": 1},
            {"request_id": "nonsense"},
            {"request_id": "5ad2a8f8-98a1-4d0e-8d4c-3a0f8c0a6a11"},
            {"request_id": str(request_id(NOW - timedelta(minutes=5)))},
            {"request_id": str(request_id(NOW + timedelta(minutes=5)))},
        ],
    )
    def test_a_question_that_makes_no_sense(self, other: OtherGateway, fields: dict[str, Any]) -> None:
        assert other.verify(**fields).error[:2] == (400, INVALID)
        assert other.asked.held_nanos() == 0

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 10_000])
    @pytest.mark.parametrize("path", ["/v1/keys/verify", "/v1/keys/settle", "/v1/keys/release"])
    def test_a_body_that_makes_no_sense(self, other: OtherGateway, path: str, body: bytes) -> None:
        assert other.call(path, body).error[:2] == (400, INVALID)

    @pytest.mark.parametrize(
        "fields",
        [
            {"key": "key_ofAnother"},
            {"org": "org_another"},
            {"org": "org_{x}"},
            {"outcome": "great"},
            {"usage": {"nonsense": 1}},
            {"usage": {"input_tokens": -1}},
            {"usage": {"input_tokens": 10**40}},
            {"usage": {"input_tokens": 10**19}},
            {"model": ""},
            {"model": "a\u0000b"},
            {"status": -1},
            {"ended": "2026-01-01T00:00:00"},
            {"source": "gw-forged"},
            {"charge_nanos": 0},
            {"request_id": str(request_id(NOW + timedelta(hours=1)))},
        ],
    )
    def test_an_end_that_makes_no_sense_writes_no_line(self, other: OtherGateway, fields: dict[str, Any]) -> None:
        told = other.verify().json
        assert other.settle(told, **fields).error[:2] == (400, INVALID)
        assert other.asked.open_holds() == 1
        other.call("/v1/keys/release", {"request_id": told["request_id"], "org": told["org"]})
        assert other.asked.lines(0) == []

    def test_only_post(self, other: OtherGateway) -> None:
        assert other.asked.request("GET", "/v1/keys/verify").error == (405, INVALID, "method_not_allowed")


class TestForwardAuth:
    def test_every_identity_header_is_there(self, other: OtherGateway) -> None:
        key = limit_key(other.asked, requests_per_minute=3, allowed_models=["demo-*", "a,b ü"])
        answer = other.check(X__Auth__Model="demo-chat")
        assert (answer.status, answer.body) == (200, b"")
        told = {name: answer.headers[name] for name in IDENTITY_HEADERS}
        assert (told["x-key-id"], told["x-org-id"]) == (key.public_id, key.organization.public_id)
        assert (told["x-plan"], told["x-scopes"]) == ("", "chat,embeddings,models")
        assert told["x-models"] == "a%2Cb%20%C3%BC,demo-*"
        assert (told["x-model-checked"], told["x-hold"]) == ("true", str(DOLLAR // 100))
        assert told["x-route"]
        assert answer.headers["x-ratelimit-remaining-requests"] == "2"
        assert other.asked.held_nanos() == DOLLAR // 100

    def test_the_log_line_makes_the_estimate_exact(self, other: OtherGateway) -> None:
        answer = other.check(X__Auth__Model="demo-chat")
        named = {name: answer.headers[f"x-{long}"] for name, long in (("request_id", "request-id"), ("key", "key-id"))}
        assert other.settle({**named, "org": answer.headers["x-org-id"]}).json["settled"]
        assert other.asked.held_nanos() == spend_nanos(90, 50)

    def test_a_model_that_nobody_named_is_not_checked(self, other: OtherGateway) -> None:
        answer = other.check()
        assert (answer.status, answer.headers["x-model-checked"], answer.headers["x-route"]) == (200, "false", "")

    @pytest.mark.parametrize(
        ("method", "told", "models", "chat"),
        [
            # Some proxies always ask with GET, so that it says nothing.
            ("GET", {}, 200, 200),
            ("GET", {"X-Original-Method": "GET"}, 200, 405),
            ("GET", {"X-Forwarded-Method": "POST"}, 405, 200),
            ("GET", {"X-Forwarded-Method": "DELETE"}, 405, 405),
            ("GET", {"X-Forwarded-Method": "GET", "X-Original-Method": "DELETE"}, 400, 400),
            ("POST", {}, 405, 200),
            ("DELETE", {}, 405, 405),
            ("DELETE", {"X-Forwarded-Method": "POST"}, 405, 200),
            ("HEAD", {}, 200, 405),
        ],
    )
    def test_it_is_asked_with_any_method_and_judges_the_clients(
        self, other: OtherGateway, method: str, told: dict[str, str], models: int, chat: int
    ) -> None:
        assert other.check("/auth/check/v1/models", method=method, **told).status == models
        assert other.check(method=method, **told).status == chat

    @pytest.mark.parametrize("name", ["X-Forwarded-Uri", "X-Original-URI"])
    def test_the_path_comes_in_a_header(self, other: OtherGateway, name: str) -> None:
        limit_key(other.asked, scopes=["models"])
        assert other.check("/auth/check", **{name: "/v1/models?limit=3"}).status == 200
        answer = other.check("/auth/check", **{name: "/v1/chat/completions?x=/v1/models"})
        assert answer.error == (401, INVALID, "missing_scope")

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/models/../chat/completions",
            "/v1//chat/completions",
            "/v1/models/%2e%2e/chat",
            "/v1/models;x",
            "v1/models",
            "/v1/models/%252e%252e/x",
            "/v1/models/..\\x",
            "/",
        ],
    )
    def test_an_ambiguous_path_is_refused(self, other: OtherGateway, path: str) -> None:
        assert other.check("/auth/check", **{"X-Original-URI": path}).error[:2] == (400, INVALID)

    def test_two_different_paths_are_refused(self, other: OtherGateway) -> None:
        limit_key(other.asked, scopes=["models"])
        spoofed = {"X-Forwarded-Uri": "/v1/models"}
        assert other.check(**spoofed).error[:2] == (400, INVALID)
        paths = {**spoofed, "X-Original-URI": "/v1/chat/completions"}
        assert other.check("/auth/check", **paths).error[:2] == (400, INVALID)

    def test_what_keymeter_does_not_know_is_not_allowed(self, other: OtherGateway) -> None:
        for path in ("/auth/check/v1/videos", "/auth/check/admin", "/auth/check/v1/keys/verify"):
            assert other.check(path).error == (404, INVALID, "unknown_url")
        assert other.check("/auth/check").error[:2] == (400, INVALID)

    def test_listing_models_holds_nothing(self, other: OtherGateway) -> None:
        assert other.check("/auth/check/v1/models").headers["x-hold"] == ""
        assert other.check("/auth/check/v1/models/demo-chat").headers["x-model-checked"] == "true"
        assert other.check("/auth/check/v1/models/never").error == (404, INVALID, "model_not_found")
        assert other.asked.held_nanos() == 0

    def test_spoofed_identity_headers_do_not_matter(self, other: OtherGateway) -> None:
        spoofed = dict.fromkeys(IDENTITY_HEADERS, "forged")
        answer = other.check("/auth/check/v1/models", **spoofed)
        assert answer.status == 200
        assert "forged" not in {answer.headers[name] for name in IDENTITY_HEADERS}
        assert other.check(secret="nonsense", **spoofed).error == (401, INVALID, "invalid_api_key")

    @pytest.mark.parametrize("name", ["X_Key_Id", "X.Org.Id", "x-org_id", "X_Gateway_Credential", "X-Auth_Model"])
    def test_aliases_of_headers_are_refused(self, other: OtherGateway, name: str) -> None:
        assert other.check(**{name: "forged"}).error == (400, INVALID, "header_alias")

    def test_two_keys_and_none(self, other: OtherGateway) -> None:
        assert other.check(**{"api-key": "another"}).error == (400, INVALID, "two_api_keys")
        assert other.check(secret="").error == (401, INVALID, "invalid_api_key")

    def test_the_address_is_what_the_gateway_saw(self, other: OtherGateway) -> None:
        limit_key(other.asked, allowed_networks=["10.0.0.0/8"])
        path = "/auth/check/v1/models"
        assert other.check(path, X__Forwarded__For="10.0.0.1").status == 200
        assert other.check(path, X__Forwarded__For="10.0.0.1, 8.8.8.8").status == 403
        # The peer is the gateway, never the client.
        assert other.check(path, X__Forwarded__For="").status == 403

    def test_proxies_before_keymeters_own_gateway_say_nothing_here(self, other: OtherGateway, settings: Any) -> None:
        """Clients write into the header, too: only what the gateways that ask have added is believed."""
        settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2
        limit_key(other.asked, allowed_networks=["10.0.0.0/8"])
        assert other.check("/auth/check/v1/models", X__Forwarded__For="10.0.0.1, 8.8.8.8").status == 403
        settings.FORWARD_AUTH_PROXIES = 2
        assert other.check("/auth/check/v1/models", X__Forwarded__For="10.0.0.1, 8.8.8.8").status == 200

    @pytest.mark.parametrize("secret", [None, "nonsense"])
    def test_nginx_gets_what_it_understands(self, other: OtherGateway, secret: str | None) -> None:
        answer = other.check("/auth/check/v1/videos?profile=nginx", secret=secret)
        assert (answer.status, answer.headers["x-auth-status"]) == (403, "404")
        assert answer.headers["x-auth-code"] == "unknown_url"

    def test_an_error_fits_into_a_header_whatever_it_names(self, other: OtherGateway) -> None:
        answer = other.check("/auth/check/v1/models/m%C3%BC%0A%22?profile=nginx")
        assert (answer.status, answer.headers["x-auth-status"]) == (403, "404")
        assert '`mü\n"`' in json.loads(answer.headers["x-auth-error"])["error"]["message"]


def test_faces_md_has_every_verdict() -> None:
    table = (Path(__file__).resolve().parent.parent.parent / "docs" / "faces.md").read_text()
    for verdict in Verdict:
        if verdict is not Verdict.ALLOWED:
            error = refusal(verdict)
            nginx = 401 if error.status == 401 else 403
            assert f"| `{verdict}` | 200 | {error.status} | {error.type} | {error.code} | {nginx} |" in table


def test_without_valkey_every_face_is_unavailable(other: OtherGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    told = other.verify().json

    def away(*_: Any) -> None:
        raise Unreachable("away")

    monkeypatch.setattr("hotstate.pipelining.Connection.send", away)
    unavailable = (503, "server_error", "service_unavailable")
    assert other.verify().error == unavailable
    assert other.settle(told).error == unavailable
    assert other.call("/v1/keys/release", {"request_id": told["request_id"], "org": told["org"]}).error == unavailable
    assert other.check().error == unavailable
    nginx = other.check(CHAT_PATH + "?profile=nginx")
    assert (nginx.status, nginx.headers["x-auth-status"]) == (403, "503")
    assert other.asked.request("GET", "/v1/key").error == unavailable
    monkeypatch.undo()
    assert other.settle(told).json["settled"]
    wait_until(lambda: other.asked.request("GET", "/v1/key").status == 200, "decisions to go on")
    assert len(other.asked.lines(1)) == 1
