"""Valkey is away or stands still and has lost nothing: it is believed again once that is known."""

import signal

import pytest
from django.utils import timezone

from accounts.keys import revoke_key
from hotstate import outbox
from hotstate.errors import Unreachable
from tests.gateway.recovery.losing import UNAVAILABLE, Fleet
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("own_valkey", ["durable"], indirect=True)
def test_a_restart_that_lost_nothing_is_over_once_it_is_looked_at(fleet: Fleet) -> None:
    assert fleet.first.chat(max_tokens=4000).status == 200
    fleet.rest()
    running = fleet.threads.submit(fleet.first.chat, "!hang=1.9", max_tokens=1000)
    wait_until(lambda: fleet.first.open_holds() == 1, "a hold")
    held = fleet.first.held_nanos()
    fleet.valkey.kill()
    assert fleet.first.chat().error == UNAVAILABLE
    fleet.valkey.start()
    fleet.serve_again()
    if not running.done():
        assert fleet.first.held_nanos() == held
    assert running.result().status == 200
    fleet.rest()
    assert fleet.first.held_nanos() == fleet.charged()


def test_a_key_revoked_while_valkey_stood_still_never_passes_again(fleet: Fleet) -> None:
    assert {gateway.chat().status for gateway in fleet.gateways} == {200}
    fleet.valkey.signal(signal.SIGSTOP)
    try:
        answers = list(fleet.threads.map(lambda gateway: gateway.chat(), fleet.gateways))
        key = fleet.first.key
        assert key
        with pytest.raises(Unreachable):
            revoke_key(key, actor=None, now=timezone.now())
        wait_until(lambda: outbox.waiting(), "the outbox to have something")
    finally:
        fleet.valkey.signal(signal.SIGCONT)
    assert [answer.error for answer in answers] == [UNAVAILABLE] * 2
    assert {answer.headers["retry-after"] for answer in answers} == {"1"}
    seen = set()
    while 401 not in seen:
        seen |= {gateway.chat().status for gateway in fleet.gateways}
    fleet.serve_again()
    seen |= {gateway.chat().status for gateway in fleet.gateways}
    assert seen <= {401, 503}
    # Nothing was held for what was refused.
    wait_until(lambda: fleet.first.held_nanos() == fleet.charged(), "what is held to be what is charged")
