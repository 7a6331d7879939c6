"""nginx, Envoy and Caddy with our files: who may pass does, who may not sees why, as from Keymeter's own gateway."""

import json
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from billing.adapters import FORMATS, convert
from billing.lines import parse
from devstack.process import wait_until
from gateway.deciding.verdicts import Verdict
from gateway.errors import refusal
from gateway.faces.forward_auth import IDENTITY_HEADERS
from gateway.models import GatewayCredential
from hotstate.errors import Unreachable
from tests.cast import DOLLAR, make_key
from tests.deploy.conftest import GATEWAY_CREDENTIAL, Edge, Upstream, running
from tests.gateway.conftest import CREDENTIAL, RunningGateway, free_port
from tests.gateway.other_gateway import refused
from tests.gateway.test_limits import change_key, limit_key

UNAVAILABLE = (503, "server_error", "service_unavailable")
# Of a request for chat completions, to look like one for models.
DISGUISED = (
    "/v1/models/../chat/completions",
    "/v1/models/%2e%2e/chat/completions",
    "/v1/models/%2e%2e%2fchat/completions",
    "/v1//chat/completions",
    "/v1/models/..;/chat/completions",
    "/v1/models\\..\\chat/completions",
    "/v1/chat/completions?profile=nginx",
    "/v1/chat/completions?/v1/models",
    "//v1/chat/completions",
)
ALIASES = ("X_Org_Id", "X-Key_Id", "x.org.id", "X_Gateway_Credential", "Api_Key")
# None of them names a model that may be used, to one reader or another.
UNCHECKED = (
    b'{"model": "forbidden"}',
    b'{"model": "demo-chat", "model": "forbidden"}',
    b'{"model": "\\u0066orbidden"}',
    b'{"model": "forbidden", "temperature": NaN}',
    b'{"model": ""}',
    b'{"model": null}',
    b'{"model": ["demo-chat"]}',
    '{"model": "mü"}'.encode(),
    b"{}",
    b"",
    b"model=demo-chat",
    '{"model": "forbidden"}'.encode("utf-16"),
)
RATES = tuple(f"x-ratelimit-{what}-requests" for what in ("limit", "remaining", "reset"))


class TestWhoMayPass:
    def test_the_answer_comes_as_the_model_server_gave_it(
        self, edge: Edge, keymeter: RunningGateway, upstream: Upstream
    ) -> None:
        limit_key(keymeter, requests_per_minute=5)
        answer = edge.chat(keymeter.secret)
        assert answer.status == 200
        assert answer.json["choices"][0]["message"]["content"] == "You said: hello world"
        assert [answer.headers[name] for name in RATES[:2]] == ["5", "4"]
        (seen,) = upstream.requests()
        assert seen["headers"]["x-request-id"] == answer.headers["x-request-id"]
        assert keymeter.held_nanos() == DOLLAR // 100

    def test_the_model_server_learns_who_it_is_and_never_the_key(
        self, edge: Edge, keymeter: RunningGateway, upstream: Upstream
    ) -> None:
        assert keymeter.key and keymeter.organization
        edge.chat(keymeter.secret)
        edge.request("GET", "/v1/models", headers={"api-key": keymeter.secret})
        by_bearer, by_api_key = upstream.requests()
        for seen in (by_bearer, by_api_key):
            # It knows no other credential than its own, so that is what it got.
            assert seen["status"] == 200
            assert seen["headers"]["x-key-id"] == keymeter.key.public_id
            assert seen["headers"]["x-org-id"] == keymeter.organization.public_id
            assert seen["headers"]["x-scopes"] == "chat,embeddings,models"
            assert keymeter.secret not in str(seen)
            assert GATEWAY_CREDENTIAL not in str(seen)
        assert by_bearer["headers"]["x-hold"] == str(DOLLAR // 100)

    def test_a_stream_comes_as_it_is_made_and_ends_with_its_client(
        self, edge: Edge, keymeter: RunningGateway, upstream: Upstream
    ) -> None:
        def ask(content: str) -> Any:
            messages: Any = [{"role": "user", "content": content}]
            client = edge.openai(keymeter.secret)
            return client.chat.completions.create(model="demo-chat", messages=messages, stream=True)

        assert "".join(chunk.choices[0].delta.content or "" for chunk in ask("one two")) == "You said: one two"
        endless = ask("!endless !delay=0.01")
        for _, _ in zip(range(5), endless, strict=False):
            pass
        endless.close()
        assert wait_until(lambda: upstream.requests()[-1]["outcome"] == "disconnected", 10)

    def test_an_error_of_the_model_server_passes(self, edge: Edge, keymeter: RunningGateway) -> None:
        for status in (400, 403, 413, 429, 500, 503):
            answer = edge.chat(keymeter.secret, f"!status={status}")
            assert (answer.status, answer.json["error"]["message"]) == (status, f"You asked for status {status}.")

    def test_the_access_log_names_the_request_and_no_secret(self, edge: Edge, keymeter: RunningGateway) -> None:
        passed = edge.chat(keymeter.secret).headers["x-request-id"]
        denied = edge.chat("km-sk-nonsense").headers["x-request-id"]
        keyed = edge.request("GET", "/v1/models", headers={"api-key": keymeter.secret}).headers["x-request-id"]
        assert wait_until(lambda: all(name in edge.log.read_text() for name in (passed, denied, keyed)), 10)
        lines = [json.loads(line) for line in edge.log.read_text().splitlines()]
        assert all(line["status"] for line in lines)
        if edge.name != "caddy":
            # What these files log is usage as it is, but for the model, which the gateway's operator adds.
            told = next(line for line in lines if line["keymeter_request_id"] == passed)
            record = json.dumps({**told, "model": "demo-chat"}).encode()
            usage = convert(record, FORMATS["access-log"], "edge-1", lambda _: None)
            assert usage and str(parse(usage).id) == passed
            refusal_ = next(line for line in lines if denied in line.values())
            assert convert(json.dumps(refusal_).encode(), FORMATS["access-log"], "edge-1", lambda _: None) is None
        for secret in (keymeter.secret, "km-sk-nonsense", CREDENTIAL, GATEWAY_CREDENTIAL):
            assert secret not in edge.log.read_text()


class TestWhoMayNot:
    def test_every_verdict_has_its_true_status_and_body(
        self, edge: Edge, keymeter: RunningGateway, upstream: Upstream
    ) -> None:
        seen, expected = {}, {}
        # Suspending concerns the keys of all others.
        for verdict in sorted(set(Verdict) - {Verdict.ALLOWED}, key=lambda one: one is Verdict.SUSPENDED):
            if verdict is Verdict.MODEL_NOT_FOUND and edge.name != "envoy":
                continue  # they can't read the body
            secret = refused(keymeter, verdict)
            if verdict in (Verdict.RATE_LIMITED, Verdict.CONCURRENCY_LIMITED):
                assert edge.chat(secret).status == 200
            allowed = len(upstream.requests())
            seen[verdict] = edge.chat(secret).error
            error = refusal(verdict)
            expected[verdict] = (error.status, error.type, error.code)
            assert len(upstream.requests()) == allowed
        assert seen == expected

    def test_a_revoked_key_as_openais_client_sees_it(self, edge: Edge, keymeter: RunningGateway) -> None:
        client = edge.openai(refused(keymeter, Verdict.REVOKED))
        with pytest.raises(openai.AuthenticationError) as raised:
            client.models.list()
        assert raised.value.code == "invalid_api_key"
        assert "was revoked" in raised.value.message

    def test_over_a_limit_as_openais_client_sees_it(self, edge: Edge, keymeter: RunningGateway) -> None:
        limit_key(keymeter, requests_per_minute=1)
        client = edge.openai(keymeter.secret)
        client.completions.create(model="demo-chat", prompt="x")
        with pytest.raises(openai.RateLimitError) as raised:
            client.completions.create(model="demo-chat", prompt="x")
        assert raised.value.code == "rate_limit_exceeded"
        assert "requests_per_minute" in raised.value.message
        headers = raised.value.response.headers
        assert (headers[RATES[0]], headers[RATES[1]]) == ("1", "0")
        assert 50 <= int(headers["retry-after"]) <= 60
        assert 50_000 <= int(headers["retry-after-ms"]) <= 60_000
        assert headers["x-request-id"]

    def test_without_money_as_openais_client_sees_it(self, edge: Edge, keymeter: RunningGateway) -> None:
        client = edge.openai(refused(keymeter, Verdict.INSUFFICIENT_BALANCE))
        with pytest.raises(openai.RateLimitError) as raised:
            client.embeddings.create(model="demo-chat", input="x")
        assert (raised.value.type, raised.value.code) == ("insufficient_quota", "credit_balance_exhausted")
        assert raised.value.response.headers["x-should-retry"] == "false"

    def test_a_large_body_does_not_hide_why(self, edge: Edge, keymeter: RunningGateway) -> None:
        assert edge.chat("nonsense", "x" * 2_000_000).error[::2] == (401, "invalid_api_key")

    def test_a_method_that_the_path_does_not_take_is_405(self, edge: Edge, keymeter: RunningGateway) -> None:
        answer = edge.request("DELETE", "/v1/chat/completions", headers={"api-key": keymeter.secret})
        assert (answer.status, answer.json["error"]["code"]) == (405, "method_not_allowed")

    def test_what_keymeter_does_not_know_is_not_allowed(
        self, edge: Edge, keymeter: RunningGateway, upstream: Upstream
    ) -> None:
        headers = {"Authorization": f"Bearer {keymeter.secret}"}
        for path in ("/v1/agents", "/v1/keys/verify", "/auth/check", "/_keymeter", "/admin", "/"):
            answer = edge.request("POST", path, b"{}", headers=headers)
            assert (answer.status, answer.json["error"]["code"]) == (404, "unknown_url")
        assert upstream.requests() == []

    def test_a_path_in_disguise_gets_nobody_further(
        self, edge: Edge, keymeter: RunningGateway, upstream: Upstream
    ) -> None:
        limit_key(keymeter, scopes=["models"])
        headers = {"Authorization": f"Bearer {keymeter.secret}", "Content-Type": "application/json"}
        body = b'{"model": "demo-chat", "messages": [{"role": "user", "content": "x"}]}'
        answers = {path: edge.request("POST", path, body, headers=headers).status for path in DISGUISED}
        assert set(answers.values()) <= {400, 401, 403, 404}, answers
        assert [seen for seen in upstream.requests() if seen["status"] == 200] == []


class TestSpoofing:
    def test_a_clients_own_identity_headers_are_gone(
        self, edge: Edge, keymeter: RunningGateway, upstream: Upstream
    ) -> None:
        auth = {"Authorization": f"Bearer {keymeter.secret}"}
        others = ("X-Auth-Model", "X-Gateway-Credential", "X-Forwarded-Uri", "X-Original-Uri", "X-Auth-Status")
        # Each twice: a proxy may replace only the first.
        spoofed = [(name, "forged") for name in (*IDENTITY_HEADERS, *others) for _ in range(2)]
        answer = edge.request("GET", "/v1/models", headers=[*auth.items(), *spoofed])
        assert answer.status == 200
        (seen,) = upstream.requests()
        told = {name: seen["headers"].get(name, "") for name in IDENTITY_HEADERS}
        assert "forged" not in str(told)
        assert told["x-org-id"] == keymeter.organization.public_id  # type: ignore[union-attr]
        assert answer.headers["x-request-id"] == told["x-request-id"]
        assert not {"x-gateway-credential", "x-auth-model"} & set(seen["headers"])

    def test_nor_do_aliases_pass(self, edge: Edge, keymeter: RunningGateway, upstream: Upstream) -> None:
        answers = [edge.chat(keymeter.secret, **{name: "forged"}) for name in ALIASES]
        # nginx drops them; the others ask Keymeter, which refuses.
        expected = (200, None) if edge.name == "nginx" else (400, "header_alias")
        found = {(answer.status, answer.json.get("error", {}).get("code")) for answer in answers}
        assert found == {expected}
        assert "forged" not in str(upstream.requests())

    def test_a_clients_forwarded_address_is_not_believed(self, edge: Edge, keymeter: RunningGateway) -> None:
        limit_key(keymeter, allowed_networks=["10.1.2.3/32"])
        answer = edge.chat(keymeter.secret, **{"X-Forwarded-For": "10.1.2.3"})
        assert answer.error[::2] == (403, "address_not_allowed")


class TestTroubles:
    def test_keymeter_that_is_down_is_503(
        self, edge: Edge, model_server: str, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        with running(edge.name, tmp_path_factory, free_port(), urlsplit(model_server).netloc) as alone:
            answer = alone.chat("km-sk-whatever")
            assert answer.error == UNAVAILABLE
            assert answer.headers["retry-after"] == "1"
            with pytest.raises(openai.InternalServerError) as raised:
                alone.openai("km-sk-whatever").models.list()
        assert (raised.value.status_code, raised.value.code) == (503, "service_unavailable")
        assert upstream.requests() == []

    def test_keymeter_that_cannot_decide_is_503(
        self, edge: Edge, keymeter: RunningGateway, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: Any) -> None:
            raise Unreachable("away")

        assert edge.chat(keymeter.secret).status == 200
        monkeypatch.setattr("hotstate.pipelining.Connection.send", away)
        answer = edge.chat(keymeter.secret)
        assert answer.error == UNAVAILABLE
        assert answer.headers["retry-after"] == "1"
        monkeypatch.undo()
        assert wait_until(lambda: edge.chat(keymeter.secret).status == 200, 10)
        assert len(upstream.requests()) == 2

    def test_a_gateway_that_keymeter_does_not_know_is_503_and_blames_no_key(
        self, edge: Edge, gateway: RunningGateway, upstream: Upstream
    ) -> None:
        GatewayCredential.objects.filter(name="edge").delete()
        gateway.application.gateway.known_gateways._cache.clear()
        error = edge.chat(gateway.secret).error
        assert error in (UNAVAILABLE, (503, "server_error", "invalid_gateway_credential"))
        assert upstream.requests() == []

    def test_a_model_server_that_is_down_is_503_too(
        self, edge: Edge, keymeter: RunningGateway, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        with running(edge.name, tmp_path_factory, keymeter.port, f"127.0.0.1:{free_port()}") as alone:
            answer = alone.chat(keymeter.secret)
        assert answer.error == (503, "server_error", "model_unavailable")
        assert answer.headers["retry-after"] == "2"

    def test_a_body_that_is_too_large(self, edge: Edge, keymeter: RunningGateway, upstream: Upstream) -> None:
        answer = edge.chat(keymeter.secret, "x" * 11_000_000)
        assert (answer.status, answer.json["error"]["code"]) == (413, "request_too_large")
        assert [seen for seen in upstream.requests() if seen["status"] == 200] == []


class TestTheModelInTheBody:
    """Envoy reads it, so that a key's list of models binds. nginx and Caddy can't, and say so."""

    def test_the_model_server_is_told_whether_the_model_was_checked(
        self, edge: Edge, keymeter: RunningGateway, upstream: Upstream
    ) -> None:
        key, secret = make_key(keymeter.organization)  # type: ignore[arg-type]
        change_key(key, allowed_models=["demo-chat", "other"])
        assert edge.chat(secret).status == 200
        (seen,) = upstream.requests()
        assert seen["headers"]["x-models"] == "demo-chat,other"
        assert seen["headers"]["x-model-checked"] == ("true" if edge.name == "envoy" else "false")

    @pytest.mark.parametrize("edge", ["envoy"], indirect=True)
    def test_envoy_lets_through_what_it_could_check_only(
        self, edge: Edge, keymeter: RunningGateway, upstream: Upstream
    ) -> None:
        limit_key(keymeter, allowed_models=["demo-*"])
        errors = {}
        for body in UNCHECKED:
            for content_type in ("application/json", "text/plain"):
                answer = edge.post(keymeter.secret, body, **{"Content-Type": content_type})
                errors[body, content_type] = answer.error
        assert set(errors.values()) == {(404, "invalid_request_error", "model_not_found")}, errors
        assert upstream.requests() == []

    @pytest.mark.parametrize("edge", ["envoy"], indirect=True)
    def test_a_model_with_line_breaks_does_not_become_headers(
        self, edge: Edge, keymeter: RunningGateway, upstream: Upstream
    ) -> None:
        limit_key(keymeter, allowed_networks=["10.1.2.3/32"])
        answer = edge.chat(keymeter.secret, model="demo-chat\r\nX-Forwarded-For: 10.1.2.3")
        assert answer.error == UNAVAILABLE
        assert upstream.requests() == []
