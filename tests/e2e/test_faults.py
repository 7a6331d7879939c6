"""Any one process is killed during traffic: it comes back by itself, and then the books agree to the nano-dollar."""

import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from openai import APIError, APIStatusError, OpenAI
from playwright.sync_api import Browser

from devstack import envfile
from tests.devstack.stack import Stack
from tests.e2e.books import assert_settled, query
from tests.e2e.test_story import MESSAGES, create_first_key, sign_up
from tests.waiting import wait_until

# The gateway comes last: what it was doing is held until its leases have run out.
SERVICES = ["worker", "web", "valkey", "postgres", "beat", "models", "mailbox", "stripe", "gateway"]


@dataclass
class Traffic:
    """Requests, plain and streamed, for as long as it runs."""

    client: OpenAI
    answered: list[str] = field(default_factory=list)
    failed: int = 0
    wrong: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                raw = self.client.chat.completions.with_raw_response.create(model="demo-chat", messages=MESSAGES)
                self.answered.append(raw.headers["x-request-id"])
                for _ in self.client.chat.completions.create(model="demo-chat", messages=MESSAGES, stream=True):
                    pass
            except APIError as error:
                self.failed += 1
                # Our own failure is never told as the customer's.
                if getattr(error, "status_code", 503) in (401, 403, 404, 429):
                    self.wrong.append(str(error))
                time.sleep(0.05)
            time.sleep(0.01)


@pytest.fixture(scope="module")
def secret(stack: Stack, browser: Browser) -> str:
    page = browser.new_context(base_url=stack.console_url).new_page()
    sign_up(page, stack.mail, "faults@example.com")
    created = create_first_key(page)
    page.context.close()
    return created


@pytest.fixture
def traffic(stack: Stack, secret: str) -> Iterator[Traffic]:
    traffic = Traffic(OpenAI(api_key=secret, base_url=stack.api_url, max_retries=0, timeout=10))
    threads = [threading.Thread(target=traffic.run) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield traffic
    traffic.stopping.set()
    for thread in threads:
        thread.join(30)


def hot_state(stack: Stack) -> tuple[int, int]:
    """The organization's balance and what is held, as Valkey has them."""
    ((org,),) = query(stack, "SELECT public_id FROM accounts_organization WHERE name ILIKE 'faults%%'")
    fields: Any = redis.Redis.from_url(stack.valkey_url).hmget(f"km:{{{org}}}", "balance", "held")
    return int(fields[0]), int(fields[1] or 0)


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_process_comes_back_and_nothing_is_lost_or_doubled(
    stack: Stack, traffic: Traffic, service: str
) -> None:
    wait_until(lambda: len(traffic.answered) > 10, "traffic")
    killed = stack.pids[service]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: stack.pids.get(service) not in (killed, None), f"{service} to be started again")
    wait_until(stack.is_ready, "everything to be ready")
    count = len(traffic.answered)
    wait_until(lambda: len(traffic.answered) > count + 10, "traffic afterwards")
    traffic.stopping.set()

    assert_settled(stack)
    assert traffic.wrong == []
    ids = [id for (id,) in query(stack, "SELECT id::text FROM billing_usageevent WHERE outcome = 'completed'")]
    assert len(ids) == len(set(ids))
    lost = set(traffic.answered) - set(ids)
    assert lost == set()
    ((nanos,),) = query(
        stack,
        "SELECT nanos FROM billing_balance JOIN accounts_organization o ON o.id = organization_id"
        " WHERE o.name ILIKE 'faults%%'",
    )
    wait_until(lambda: hot_state(stack)[0] == nanos, "Valkey to have the balance")
    if service != "gateway":
        wait_until(lambda: hot_state(stack)[1] == 0, "no hold to be left")


def test_without_valkey_nobody_is_called_unknown_and_it_heals(stack: Stack, secret: str) -> None:
    client = OpenAI(api_key=secret, base_url=stack.api_url, max_retries=0, timeout=10)
    os.kill(stack.pids["valkey"], signal.SIGSTOP)
    try:
        with pytest.raises(APIStatusError) as refused:
            client.models.list()
    finally:
        os.kill(stack.pids["valkey"], signal.SIGCONT)
    assert refused.value.status_code == 503
    assert refused.value.code == "service_unavailable"
    assert refused.value.response.headers["retry-after"] == "1"
    wait_until(stack.is_ready, "everything to be ready")
    assert client.models.list().data


def test_without_postgresql_known_keys_go_on_and_usage_waits(stack: Stack, secret: str) -> None:
    client = OpenAI(api_key=secret, base_url=stack.api_url, max_retries=0, timeout=10)
    client.chat.completions.create(model="demo-chat", messages=MESSAGES)
    before = assert_settled(stack)
    os.kill(stack.pids["postgres"], signal.SIGSTOP)
    try:
        client.chat.completions.create(model="demo-chat", messages=MESSAGES)
    finally:
        os.kill(stack.pids["postgres"], signal.SIGCONT)
    wait_until(lambda: assert_settled(stack) > before, "the usage to be charged")


def test_two_workers_with_the_same_events_charge_them_once(stack: Stack, secret: str) -> None:
    """The same lines in many segments, posted at once: a gateway that repeats itself, an archive replayed."""
    OpenAI(api_key=secret, base_url=stack.api_url).chat.completions.create(model="demo-chat", messages=MESSAGES)
    before = assert_settled(stack)
    ((path, source),) = query(stack, "SELECT path, source FROM billing_segment WHERE new > 0 ORDER BY id DESC LIMIT 1")
    content = (stack.var / "archive" / path).read_bytes()
    credential = envfile.read(stack.var / "secrets.env")["GATEWAY_CREDENTIAL"]
    for number in range(20):
        request = urllib.request.Request(
            f"{stack.console_url}/api/v1/usage/segments/{source}.again.{number}.{os.getpid()}",
            content,
            {"Authorization": f"Bearer {credential}", "X-Source": source, "Content-Type": "application/x-ndjson"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 201
    assert assert_settled(stack) == before
