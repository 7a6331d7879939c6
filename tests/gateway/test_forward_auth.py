"""Forward-auth: paths, identity headers, the profile for nginx."""

import json
from typing import Any

import pytest

from gateway.faces.forward_auth import IDENTITY_HEADERS
from tests.cast import DOLLAR
from tests.gateway.other_gateway import (
    INVALID,
    OtherGateway,
    other,
    spend_nanos,
)
from tests.gateway.test_limits import limit_key

__all__ = ["other"]


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
        for path in ("/auth/check/v1/agents", "/auth/check/admin", "/auth/check/v1/keys/verify"):
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
        answer = other.check("/auth/check/v1/agents?profile=nginx", secret=secret)
        assert (answer.status, answer.headers["x-auth-status"]) == (403, "404")
        assert answer.headers["x-auth-code"] == "unknown_url"

    def test_an_error_fits_into_a_header_whatever_it_names(self, other: OtherGateway) -> None:
        answer = other.check("/auth/check/v1/models/m%C3%BC%0A%22?profile=nginx")
        assert (answer.status, answer.headers["x-auth-status"]) == (403, "404")
        assert '`mü\n"`' in json.loads(answer.headers["x-auth-error"])["error"]["message"]
