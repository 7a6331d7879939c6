"""Valkey loses its state, restarts or stands still while gateways serve: nobody is served wrongly, and it heals."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from accounts.keys import revoke_key
from billing.models import Balance
from billing.posting import post_segment
from catalog import changes
from devstack.ports import Ports
from devstack.process import MARK
from devstack.valkey import Valkey
from gateway.models import GatewayProcess
from hotstate import eras, outbox, recovery
from hotstate.client import valkey
from hotstate.errors import Unreachable
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_segment
from tests.gateway.conftest import CREDENTIAL
from tests.gateway.serving import RunningGateway, free_port, serving

pytestmark = pytest.mark.django_db(transaction=True)
UNAVAILABLE = (503, "server_error", "service_unavailable")
# The hold of a request with max_tokens=1000 is a little more than that.
HOLD = 15 * DOLLAR // 1000


@dataclass
class OwnValkey:
    """A server that a test may kill. It keeps everything (`durable`), or what SAVE wrote."""

    server: Valkey
    folder: Path
    process: Any = None

    def start(self) -> None:
        self.process = self.server.start(self.folder / "valkey.log", {**os.environ, MARK: os.environ["KEYMETER_VAR"]})
        wait_for(lambda: self.server.is_ready(self.process))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)


@dataclass
class Fleet:
    """Gateways in front of one Valkey; `worker` stands for the workers, whose broker isn't the matter here."""

    gateways: list[RunningGateway]
    valkey: OwnValkey
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(40))

    @property
    def first(self) -> RunningGateway:
        return self.gateways[0]

    def lines(self) -> dict[str, dict[str, Any]]:
        """What was written into the usage logs of all, by request."""
        paths = sorted(self.first.spool.glob("*/*.jsonl"))
        lines = [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]
        assert len({line["id"] for line in lines}) == len(lines)
        return {line["id"]: line for line in lines}

    def charged(self) -> int:
        return sum(line["charge_nanos"] for line in self.lines().values())

    def rest(self) -> None:
        """Wait until nothing runs."""
        wait_for(lambda: not self.first.open_holds())

    def post(self) -> None:
        """What the web server and the workers do with the logs."""
        for folder in sorted(self.first.spool.iterdir()):
            content = b"".join(path.read_bytes() for path in folder.glob("*.jsonl"))
            source = json.loads(content.splitlines()[0])["source"] if content else ""
            # The same lines twice, as where an answer got lost.
            for segment in (make_segment(content, source=source), make_segment(content, source=source)):
                post_segment(segment.pk, now=datetime.now(UTC))

    def serve_again(self) -> None:
        """Wait until every gateway decides."""
        for gateway in self.gateways:
            wait_for(lambda gateway=gateway: gateway.request("GET", "/v1/models").status != 503)


@pytest.fixture
def own_valkey(tmp_path: Path, settings: Any, request: pytest.FixtureRequest) -> Iterator[OwnValkey]:
    data = tmp_path / "valkey"
    data.mkdir(mode=0o700)
    durable = getattr(request, "param", "") == "durable"
    own = OwnValkey(Valkey(data, Ports().any(0), "a-password-for-tests", temporary=not durable), tmp_path)
    own.start()
    settings.VALKEY_URL = own.server.url()
    valkey.cache_clear()
    yield own
    own.kill()
    valkey.cache_clear()


@pytest.fixture
def fleet(
    transactional_db: None,
    own_valkey: OwnValkey,
    model_server: str,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Fleet]:
    """Two gateways, and a worker that looks after Valkey."""
    settings.GATEWAY_SPOOL_DIR = tmp_path / "spool"
    settings.INTAKE_URL = "http://127.0.0.1:9"
    monkeypatch.setattr("gateway.offer.POLL_SECONDS", 0.02)
    monkeypatch.setattr("gateway.era_watch.POLL_SECONDS", 0.05)
    monkeypatch.setattr("gateway.era_watch.EraWatch._hint", _no_hint)
    with ExitStack() as stack:
        worker = stack.enter_context(Worker())
        assert worker
        gateways = [stack.enter_context(serving(tmp_path / "spool", free_port())) for _ in range(2)]
        populate(gateways, model_server)
        fleet = Fleet(gateways, own_valkey)
        fleet.serve_again()
        yield fleet
        fleet.threads.shutdown(wait=True, cancel_futures=True)


def populate(gateways: list[RunningGateway], model_server: str) -> None:
    """A priced model that all of them sell, and a key of an organization that has $1."""
    upstream = make_model(upstream_url=model_server).routes.get().upstream
    upstream.credential = CREDENTIAL
    upstream.save()
    organization = make_organization()
    give_credit(organization, DOLLAR)
    key, secret = make_key(organization)
    for gateway in gateways:
        gateway.organization, gateway.key, gateway.secret = organization, key, secret
    changes.announce(timezone.now())
    for gateway in gateways:
        gateway.wait_for_catalogue()


async def _no_hint(self: object) -> None:
    """The worker of these tests looks all the time."""


class Worker:
    """Recovers what is to be recovered, for as long as it runs."""

    def __enter__(self) -> "Worker":
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._stopping.wait(0.05):
            try:
                recovery.recover_if_lost(timezone.now)
            except Unreachable:
                continue
        connections.close_all()


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def lose(how: str, own: OwnValkey) -> None:
    if how == "emptied":
        valkey().flushdb()
    else:
        own.kill()
        own.start()


@pytest.mark.parametrize("how", ["emptied", "restarted empty"])
def test_what_runs_during_a_loss_stays_held(fleet: Fleet, how: str) -> None:
    """The balance covers three requests, which run: nobody gets a fourth, before, while or after it is recovered."""
    thrifty = make_organization("Thrifty")
    give_credit(thrifty, 50 * DOLLAR // 1000)
    secret = make_key(thrifty)[1]
    fleet.gateways[:] = [replace(gateway, organization=thrifty, secret=secret) for gateway in fleet.gateways]
    chats = [fleet.gateways[number % 2].chat for number in range(3)]
    running = [fleet.threads.submit(chat, "!hang=1.9", max_tokens=1000) for chat in chats]
    wait_for(lambda: fleet.first.open_holds() == 3)
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
        wait_for(lambda count=count: statuses.count(200) > count + 10)
        lose(how, fleet.valkey)
    count = statuses.count(200)
    wait_for(lambda: statuses.count(200) > count + 10)
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
    wait_for(lambda: fleet.first.open_holds() == 1)
    valkey().save()
    # After the snapshot: a request that ends, one that begins, and the first one's posting.
    assert fleet.gateways[1].chat(max_tokens=4000).status == 200
    wait_for(lambda: fleet.first.open_holds() == 1)
    later = fleet.threads.submit(fleet.gateways[1].chat, "!hang=1.5", max_tokens=2000)
    wait_for(lambda: fleet.first.open_holds() == 2)
    held = fleet.first.held_nanos()
    lose("older", fleet.valkey)
    wait_for(lambda: (era := eras.read(valkey())) and era.serving)
    if fleet.first.open_holds() == 2:
        assert fleet.first.held_nanos() == held
    assert [running.result().status, later.result().status] == [200, 200]
    fleet.rest()
    assert len(fleet.lines()) == 4
    assert fleet.first.held_nanos() == fleet.charged()
    fleet.post()
    assert fleet.first.held_nanos() == 0


@pytest.mark.parametrize("own_valkey", ["durable"], indirect=True)
def test_a_restart_that_lost_nothing_is_over_once_it_is_looked_at(fleet: Fleet) -> None:
    assert fleet.first.chat(max_tokens=4000).status == 200
    fleet.rest()
    running = fleet.threads.submit(fleet.first.chat, "!hang=1.9", max_tokens=1000)
    wait_for(lambda: fleet.first.open_holds() == 1)
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
        wait_for(lambda: outbox.waiting())
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
    wait_for(lambda: fleet.first.held_nanos() == fleet.charged())


def test_what_another_gateway_was_allowed_stays_held(fleet: Fleet) -> None:
    from gateway.credentials import create_credential

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
