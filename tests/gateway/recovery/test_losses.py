"""Valkey is emptied, or comes back empty or older, while gateways serve: nobody is served wrongly, and it heals."""

import threading
import time
from dataclasses import replace

import pytest
from django.utils import timezone

from accounts.keys import revoke_key
from billing.models import Balance
from hotstate import eras
from hotstate.client import valkey
from tests.cast import DOLLAR, give_credit, make_key, make_organization
from tests.gateway.recovery.losing import Fleet, lose
from tests.gateway.serving import RunningGateway
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("how", ["emptied", "restarted empty"])
def test_what_runs_during_a_loss_stays_held(fleet: Fleet, how: str) -> None:
    """The balance covers three requests, which run: nobody gets a fourth, before, while or after it is recovered."""
    thrifty = make_organization("Thrifty")
    give_credit(thrifty, 50 * DOLLAR // 1000)
    secret = make_key(thrifty)[1]
    fleet.gateways[:] = [replace(gateway, organization=thrifty, secret=secret) for gateway in fleet.gateways]
    chats = [fleet.gateways[number % 2].chat for number in range(3)]
    running = [fleet.threads.submit(chat, "!hang=1.9", max_tokens=1000) for chat in chats]
    wait_until(lambda: fleet.first.open_holds() == 3, "three holds")
    before = fleet.first.held_nanos()
    lose(how, fleet.valkey)
    seen: set[int] = set()
    while True:
        statuses = {gateway.chat(max_tokens=1000).status for gateway in fleet.gateways}
        # A line is written before its hold is settled: without one, all three run.
        if fleet.lines():
            break
        seen |= statuses
        # As far as Valkey says anything, it says what was held.
        if fleet.first.open_holds() == 3:
            held = fleet.first.held_nanos()
            assert held == before or fleet.first.open_holds() < 3
    assert seen == {503, 429}
    assert [future.result().status for future in running] == [200] * 3
    fleet.rest()
    assert fleet.first.held_nanos() == fleet.charged()
    fleet.serve_again()
    assert fleet.first.chat(max_tokens=1000).status == 200


def test_losses_in_the_middle_of_load_overdraw_nothing_and_lose_no_charge(fleet: Fleet) -> None:
    stopping = threading.Event()
    statuses: list[int] = []
    chats = ("hello", "!words=40", "!hang=0.3")

    def load(number: int) -> None:
        while not stopping.is_set():
            gateway = fleet.gateways[number % 2]
            statuses.append(gateway.chat(chats[number % 3], max_tokens=4000, stream=number % 2 == 0).status)
            time.sleep(0.02)

    # A request holds $0.06: with $1 not all of these can run at once.
    loads = [fleet.threads.submit(load, number) for number in range(20)]
    for how in ("emptied", "restarted empty", "emptied"):
        count = statuses.count(200)
        wait_until(lambda count=count: statuses.count(200) > count + 10, "answers")
        lose(how, fleet.valkey)
    count = statuses.count(200)
    wait_until(lambda: statuses.count(200) > count + 10, "answers afterwards")
    stopping.set()
    for future in loads:
        future.result()
    fleet.rest()
    assert set(statuses) <= {200, 429, 503}
    # Every charge is held, once, also of what was written before the losses and is posted after them.
    assert fleet.first.held_nanos() == fleet.charged() <= DOLLAR
    completed = [line for line in fleet.lines().values() if line["outcome"] == "completed"]
    assert len(completed) == statuses.count(200)
    charged = fleet.charged()
    fleet.post()
    assert fleet.first.organization
    assert Balance.objects.get(organization=fleet.first.organization).nanos == DOLLAR - charged
    assert fleet.first.held_nanos() == 0


@pytest.mark.parametrize("how", ["emptied", "restarted empty"])
def test_a_stream_goes_on_and_is_charged_exactly(fleet: Fleet, how: str) -> None:
    """Its hold grows every 1,024 bytes: during the loss it waits, and nothing of it is lost."""
    stream = fleet.first.openai().chat.completions.create(
        model="demo-chat", messages=[{"role": "user", "content": "!words=900 !delay=0.002"}], stream=True
    )
    got = [next(iter(stream)) for _ in range(5)]
    lose(how, fleet.valkey)
    got += list(stream)
    assert got[-1].choices[0].finish_reason == "stop"
    fleet.rest()
    (line,) = fleet.lines().values()
    assert (line["outcome"], line["usage"]["output_tokens"]) == ("completed", 900)
    assert fleet.first.held_nanos() == line["charge_nanos"]


def test_a_key_revoked_in_the_lost_seconds_never_passes(fleet: Fleet) -> None:
    """The snapshot has it as good; so have the gateways, one of which knows the newer record, too."""
    assert {gateway.chat().status for gateway in fleet.gateways} == {200}
    valkey().save()
    key = fleet.first.key
    assert key
    revoke_key(key, actor=None, now=timezone.now())
    assert fleet.first.chat().status == 401
    seen: set[int] = set()

    def ask(gateway: RunningGateway) -> None:
        while len(seen) < 2:
            seen.add(gateway.chat().status)

    asking = [fleet.threads.submit(ask, gateway) for gateway in fleet.gateways]
    lose("older", fleet.valkey)
    for future in asking:
        future.result(20)
    fleet.serve_again()
    assert {gateway.chat().status for gateway in fleet.gateways} == {401}
    assert seen == {401, 503}


def test_an_older_state_that_came_back_forgets_no_charge(fleet: Fleet) -> None:
    assert fleet.first.chat(max_tokens=4000).status == 200
    fleet.rest()
    running = fleet.threads.submit(fleet.first.chat, "!hang=1.5", max_tokens=1000)
    wait_until(lambda: fleet.first.open_holds() == 1, "a hold")
    valkey().save()
    # After the snapshot: a request that ends, one that begins, and the first one's posting.
    assert fleet.gateways[1].chat(max_tokens=4000).status == 200
    wait_until(lambda: fleet.first.open_holds() == 1, "a hold")
    later = fleet.threads.submit(fleet.gateways[1].chat, "!hang=1.5", max_tokens=2000)
    wait_until(lambda: fleet.first.open_holds() == 2, "the second hold")
    held = fleet.first.held_nanos()
    lose("older", fleet.valkey)
    wait_until(lambda: (era := eras.read(valkey())) and era.serving, "the era to serve")
    if fleet.first.open_holds() == 2:
        assert fleet.first.held_nanos() == held
    assert [running.result().status, later.result().status] == [200, 200]
    fleet.rest()
    assert len(fleet.lines()) == 4
    assert fleet.first.held_nanos() == fleet.charged()
    fleet.post()
    assert fleet.first.held_nanos() == 0
