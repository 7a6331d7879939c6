"""Five hundred streams at once, many left by their client or broken by the upstream: nothing stays behind."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

import aiohttp
import pytest

from billing.models import UsageEvent
from billing.posting import post_segment
from billing.proofs.proving import prove
from hotstate import outbox
from tests.cast import DOLLAR, give_credit, make_segment
from tests.gateway.serving import RunningGateway
from tests.gateway.test_limits import limit_organization
from tests.waiting import wait_until

AT_ONCE = 500


class Kind(NamedTuple):
    """What the upstream does, after how many events the client leaves (None: never), and the outcomes that may have."""

    says: str
    leaves_after: int | None
    outcomes: set[str]


LEFT, BROKEN = {"client_disconnected"}, {"upstream_error"}
KINDS = [
    Kind("!words=20", None, {"completed"}),
    Kind("!words=20 !nousage", None, {"completed"}),
    Kind("!words=100 !delay=0.01", 3, LEFT),
    Kind("!endless !delay=0.01", 5, LEFT),
    Kind("!hang=20", 0, LEFT),
    Kind("!cut=3", None, BROKEN),
    Kind("!error=2", None, BROKEN),
    Kind("!garbage", None, BROKEN),
    Kind("!status=500", None, BROKEN),
]


async def stream(web: aiohttp.ClientSession, gateway: RunningGateway, kind: Kind) -> str:
    """Ask for one and read it as its kind says; give its request id, empty where the client left before it had one."""
    body = {
        "model": "demo-chat",
        "messages": [{"role": "user", "content": kind.says}],
        "stream": True,
        "max_tokens": 99,
    }
    asking = web.post(
        f"http://127.0.0.1:{gateway.port}/v1/chat/completions",
        json=body,
        headers={"Authorization": f"Bearer {gateway.secret}"},
    )
    if kind.leaves_after == 0:
        try:
            async with asyncio.timeout(2), asking:
                raise AssertionError("an upstream that says nothing has answered")
        except TimeoutError:
            return ""
    async with asking as answer:
        assert answer.status in (200, 502), await answer.text()
        seen = 0
        try:
            async for line in answer.content:
                seen += line.startswith(b"data:")
                if seen == kind.leaves_after:
                    break
        except aiohttp.ClientPayloadError:
            pass
        return answer.headers["x-request-id"]


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=[pytest.mark.extended, pytest.mark.timeout(1200)])])
def test_five_hundred_streams_leave_nothing_behind(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    # The model server is whole: what fails, fails by order, and no circuit shall hide it.
    monkeypatch.setattr(gateway.application.gateway.routing, "_most_failures", 10**9)
    assert gateway.organization
    give_credit(gateway.organization, 10_000 * DOLLAR, key="soak")
    limit_organization(gateway, requests_per_minute=None, tokens_per_minute=None, concurrent_requests=None)
    gateway.chat()
    before = tasks_of(gateway)
    asked = [Random(7).choice(KINDS) for _ in range(rounds * AT_ONCE)]

    async def soak() -> list[str]:
        # A connection that is used again may be closed at that moment by the server, whose right that is.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as web:
            streams = []
            for first in range(0, len(asked), AT_ONCE):
                streams += await asyncio.gather(*(stream(web, gateway, kind) for kind in asked[first:][:AT_ONCE]))
            return streams

    ids = asyncio.run(soak())
    wait_until(lambda: tasks_of(gateway) <= before, "the streams' tasks to end")
    # Who counted the tasks before may have counted one that was about to end.
    wait_until(lambda: not asked_of_upstreams(gateway), "the upstreams' connections to be given back")
    lines = {line["id"]: line for line in gateway.lines(gateway.written())}
    for kind, request_id in zip(asked, ids, strict=True):
        assert not request_id or lines[request_id]["outcome"] in kind.outcomes, kind
    # Who leaves within two seconds may, on a busy machine, not have been admitted yet.
    known = {request_id for request_id in ids if request_id}
    unknown = [line["outcome"] for request_id, line in lines.items() if request_id not in known]
    assert Counter(unknown) <= Counter({"completed": 1, "client_disconnected": len(asked) - len(known)})
    prove_the_books(gateway, lines=len(lines))


def tasks_of(gateway: RunningGateway) -> int:
    loop = gateway.application.gateway._tasks[0].get_loop()
    return len(asyncio.all_tasks(loop))


def asked_of_upstreams(gateway: RunningGateway) -> int:
    """Connections to upstreams that are in use."""
    connector = gateway.application.gateway.upstreams.session.connector
    assert connector
    return len(connector._acquired)


def prove_the_books(gateway: RunningGateway, *, lines: int) -> None:
    """What was logged is posted, the holds go, and the books are proved."""
    assert gateway.organization
    now = datetime.now(UTC)
    post_segment(make_segment(gateway.logged(), source=gateway.source, now=now).pk, now=now)
    outbox.deliver()
    assert UsageEvent.objects.filter(organization=gateway.organization).count() == lines
    assert gateway.held_nanos() == 0
    assert [(result.name, result.offender) for result in prove(datetime.now(UTC)) if not result.ok] == []
