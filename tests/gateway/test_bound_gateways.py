"""A gateway's credential that is bound to organizations knows no others; one that is revoked is refused everywhere."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
import uuid_utils

from accounts.secrets import generate
from gateway.faces.credentials import create_credential, revoke_credential
from gateway.models import GatewayCredential
from hotstate import names
from hotstate.client import valkey
from tests.cast import DOLLAR, give_credit, make_key, make_organization
from tests.gateway.conftest import POLL_SECONDS, RunningGateway
from tests.gateway.other_gateway import CHAT_PATH, NO_GATEWAY, NOW, OtherGateway
from tests.waiting import wait_until


def bound_to(gateway: RunningGateway, *organizations: str) -> OtherGateway:
    _, secret = create_credential(f"bound {uuid_utils.uuid7()}", sources=[], organizations=organizations, now=NOW)
    return OtherGateway(gateway, secret)


class TestBound:
    @pytest.fixture
    def mine(self, gateway: RunningGateway) -> OtherGateway:
        assert gateway.organization
        return bound_to(gateway, gateway.organization.public_id)

    @pytest.fixture
    def foreign(self, gateway: RunningGateway) -> OtherGateway:
        """One that is bound to another organization than the key's."""
        return bound_to(gateway, make_organization("Elsewhere").public_id)

    def test_its_own_organization_is_served(self, mine: OtherGateway) -> None:
        told = mine.verify().json
        assert told["valid"]
        assert mine.check().status == 200
        assert mine.settle(told).json["settled"]
        other = mine.verify().json
        assert mine.call("/v1/keys/release", {"request_id": other["request_id"], "org": other["org"]}).json["released"]

    def test_a_key_of_another_looks_exactly_like_an_unknown_one(self, foreign: OtherGateway) -> None:
        def seen(secret: str) -> list[Any]:
            fixed = {"request_id": None}
            verified = foreign.verify(secret)
            checked = [foreign.check(path, secret=secret) for path in (CHAT_PATH, CHAT_PATH + "?profile=nginx")]
            heads = [{**answer.headers, "x-request-id": "", "date": ""} for answer in (verified, *checked)]
            return [verified.status, {**verified.json, **fixed}, heads, *[(a.status, a.body) for a in checked]]

        assert seen(foreign.asked.secret) == seen(generate("km-sk").text)
        assert foreign.asked.held_nanos() == 0

    def test_settling_and_releasing_for_another_is_as_for_one_that_does_not_exist(
        self, mine: OtherGateway, foreign: OtherGateway
    ) -> None:
        told = mine.verify().json
        before = foreign.asked.held_nanos()
        nobody = {**told, "org": "org_nobody", "key": "key_nothing"}
        answers = [foreign.settle(verdict) for verdict in (told, nobody)]
        assert [answer.status for answer in answers] == [400, 400]
        assert answers[0].body == answers[1].body
        released = [
            foreign.call("/v1/keys/release", {"request_id": told["request_id"], "org": org}).body
            for org in (told["org"], "org_nobody")
        ]
        assert released[0] == released[1]
        assert foreign.asked.held_nanos() == before > 0
        assert foreign.asked.written() == 0

    def test_a_key_cannot_be_settled_under_an_organization_that_is_not_its_own(self, gateway: RunningGateway) -> None:
        own = make_organization("Own")
        give_credit(own, DOLLAR)
        gateway_of_own = bound_to(gateway, own.public_id)
        told = gateway_of_own.verify(make_key(own)[1]).json
        assert gateway.key
        assert gateway_of_own.settle({**told, "key": gateway.key.public_id}).status == 400


class TestRevoked:
    def test_within_a_second_or_so_every_face_refuses_it(self, gateway: RunningGateway) -> None:
        """Found ones are kept for 30 s: without being told, this gateway would go on believing."""
        other = bound_to(gateway)
        assert other.verify().status == 200
        credential = GatewayCredential.objects.latest("pk")
        revoke_credential(credential, actor=None, reason="", now=datetime.now(UTC))
        wait_until(lambda: other.verify().status == 401, "the revocation")
        assert other.verify().error == NO_GATEWAY
        assert other.check().error == (503, "server_error", "invalid_gateway_credential")
        assert other.settle({"request_id": "", "key": "", "org": ""}).error == NO_GATEWAY

    def test_one_that_was_known_is_not_believed_where_nobody_can_tell_what_changed(
        self, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from django.db import OperationalError

        def away(_: str) -> None:
            raise OperationalError("away")

        other = bound_to(gateway)
        # By then the gateway knows that credentials changed when this one was made.
        time.sleep(10 * POLL_SECONDS)
        assert other.verify().status == 200
        monkeypatch.setattr("gateway.faces.known_gateways.find_credential", away)
        assert other.verify().status == 200
        valkey().set(names.GATEWAYS_VERSION, "changed")
        wait_until(lambda: other.verify().status == 503, "doubt")

    def test_when_it_was_last_seen_is_noted(self, gateway: RunningGateway) -> None:
        other = bound_to(gateway)
        assert GatewayCredential.objects.latest("pk").last_seen_at is None
        other.verify()
        seen = GatewayCredential.objects.latest("pk").last_seen_at
        assert seen
        other.verify()
        assert GatewayCredential.objects.latest("pk").last_seen_at == seen
