"""What other gateways hold is waited for after a loss, and dead ones only for so long."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from gateway.models import GatewayProcess
from tests.gateway.recovery.losing import HOLD, Fleet, lose
from tests.gateway.serving import free_port, serving

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_another_gateway_was_allowed_stays_held(fleet: Fleet) -> None:
    from gateway.faces.credentials import create_credential

    _, credential = create_credential("their gateway", sources=["theirs"], now=timezone.now())
    asked = {"key": fleet.first.secret, "endpoint": "chat.completions", "model": "demo-chat", "max_output_tokens": 1000}
    headers = {"X-Gateway-Credential": credential}

    def verify() -> Any:
        body = {**asked, "input_tokens": 10}
        return fleet.first.post("/v1/keys/verify", body, secret="", headers=headers).json

    kept, released = verify(), verify()
    body = {"request_id": released["request_id"], "org": released["org"]}
    assert fleet.first.post("/v1/keys/release", body, secret="", headers=headers).json["released"]
    lose("emptied", fleet.valkey)
    fleet.serve_again()
    assert fleet.first.held_nanos() == kept["hold"] > HOLD


def test_a_gateway_that_died_is_not_waited_for_longer_than_the_set_time(fleet: Fleet, settings: Any) -> None:
    settings.RECOVERY_SECONDS = 0.5
    now = timezone.now() + timedelta(seconds=1)
    GatewayProcess.objects.create(name="gw-dead", host="h", started_at=now, seen_at=now)
    lose("emptied", fleet.valkey)
    fleet.serve_again()
    assert fleet.first.chat().status == 200


def test_a_gateway_has_a_row_while_it_lives_and_none_after_a_clean_stop(fleet: Fleet) -> None:
    names = set(GatewayProcess.objects.values_list("name", flat=True))
    assert len(names) == 2
    with serving(fleet.first.spool, free_port()):
        assert GatewayProcess.objects.count() == 3
    assert set(GatewayProcess.objects.values_list("name", flat=True)) == names
