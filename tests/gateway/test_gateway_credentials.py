"""Only gateways with a credential may ask, and it is looked up with care."""

import time
from uuid import uuid4

import pytest

from gateway.faces.credentials import create_credential
from gateway.models import GatewayCredential
from tests.gateway.conftest import POLL_SECONDS
from tests.gateway.other_gateway import CHAT_PATH, NO_GATEWAY, NOW, OtherGateway, other

__all__ = ["other"]


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
        monkeypatch.setattr("gateway.faces.known_gateways.FOUND_FOR_SECONDS", 0.0)
        assert other.verify().status == 200
        GatewayCredential.objects.update(revoked_at=NOW)
        assert other.verify().error == NO_GATEWAY

    def test_it_is_looked_up_once_in_a_while(self, other: OtherGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        # By then the gateway knows that credentials changed when this one was made.
        time.sleep(10 * POLL_SECONDS)
        assert other.verify().status == 200
        monkeypatch.setattr("gateway.faces.known_gateways.find_credential", lambda _: 1 / 0)
        assert other.verify().status == 200

    def test_nothing_is_said_while_the_database_is_away(
        self, other: OtherGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django.db import OperationalError

        def away(_: str) -> None:
            raise OperationalError("away")

        monkeypatch.setattr("gateway.faces.known_gateways.FOUND_FOR_SECONDS", 0.0)
        known = OtherGateway(other.asked, create_credential(uuid4().hex, sources=[], now=NOW)[1])
        time.sleep(10 * POLL_SECONDS)
        assert known.verify().status == 200
        monkeypatch.setattr("gateway.faces.known_gateways.find_credential", away)
        assert known.verify().status == 200
        assert other.verify().error == (503, "server_error", "service_unavailable")
        assert other.check("/auth/check/v1/models").error == (503, "server_error", "service_unavailable")
