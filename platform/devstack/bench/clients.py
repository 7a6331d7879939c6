"""`bench clients`: whole decisions with their settlement in one process, by the client that the gateway uses.

Beside it the same script calls by other clients, and `lua`: the scripts alone, pipelined.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import cache
from urllib.parse import unquote, urlsplit

import redis.asyncio
import uuid_utils
import uvloop
from django.conf import settings
from django.utils import timezone
from glide import GlideClient, GlideClientConfiguration, NodeAddress, Script, ServerCredentials

from devstack.bench.population import Population, empty_database, populate
from devstack.bench.report import Report, in_turn, percentile
from gateway.deciding.decision import Decider, Question
from gateway.deciding.journal import Journal
from gateway.deciding.keyring import Identity, Keyring
from gateway.deciding.verdicts import Verdict
from gateway.http.request_ids import new_request_id
from hotstate import eras, names, recovery, scripts
from hotstate.client import valkey
from hotstate.fast import HotState
from hotstate.records import Windows

CONCURRENCY = 64
HOLD, CHARGE = 1_000_000, 250_000
LEASE_MS = 120_000

Work = Callable[[int], Awaitable[None]]


def run(*, quick: bool) -> Report:
    """Measure; the database and Valkey are the bench's own."""
    decisions, runs = (5_000, 3) if quick else (40_000, 5)
    empty_database()
    valkey().flushdb()
    population = populate(organizations=1_000, keys=10_000, models=5)
    recovery.recover_if_lost(timezone.now)
    latencies: list[float] = []
    series = in_turn(
        runs,
        {
            "decision": lambda: uvloop.run(_keymeter(population, decisions, latencies)),
            "redis-py": lambda: uvloop.run(_redis_py(population, decisions)),
            "valkey-glide": lambda: uvloop.run(_glide(population, decisions)),
            "lua": lambda: _lua(population, decisions),
        },
    )
    measured = series.pop("decision")
    return Report(
        "clients",
        measured,
        series,
        p50_ms=round(percentile(latencies, 0.5), 3),
        p99_ms=round(percentile(latencies, 0.99), 3),
        notes={
            "keys": 10_000,
            "organizations": 1_000,
            "concurrency": CONCURRENCY,
            "each": "identify, decide and settle; one in twenty is refused for its scope",
            "latency": f"at {CONCURRENCY} at once, saturated",
        },
    )


async def _measure(work: Work, count: int) -> float:
    """Run `work(0…count-1)`, CONCURRENCY at once; give the rate per second."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    return count / (time.perf_counter() - start)


async def _keymeter(population: Population, count: int, latencies: list[float]) -> float:
    hotstate = HotState(settings.VALKEY_URL)
    await hotstate.join()
    decider = Decider(hotstate, Keyring(hotstate), Journal(hotstate), lease_seconds=LEASE_MS // 1000)
    chosen = random.Random(1).choices(range(len(population.secrets)), k=count)

    async def one(number: int) -> None:
        start = time.perf_counter()
        minted = new_request_id()
        identity = await decider.identify(population.secrets[chosen[number]], minted, address=None)
        if not isinstance(identity, Identity):
            raise TypeError(identity)
        request_id = str(minted)
        scope = "images" if number % 20 == 0 else "chat"
        question = Question(request_id=request_id, scope=scope, model="bench-0", hold_nanos=HOLD)
        decision = await decider.decide(identity, question)
        if decision.verdict is Verdict.ALLOWED:
            record = identity.record
            await hotstate.settle(record.org, record.key, request_id, CHARGE, taken=0, elapsed_ms=0)
        latencies.append((time.perf_counter() - start) * 1000)

    try:
        return await _measure(one, count)
    finally:
        await hotstate.close()


@cache
def _era() -> str:
    era = eras.read(valkey())
    return era.id if era else ""


def _arguments(population: Population, number: int) -> tuple[list[str], list[str]]:
    index = number % len(population.keys)
    keys = names.decision_keys(population.owners[index], population.keys[index])
    now_ms = str(int(time.time() * 1000))
    windows = Windows.at(timezone.now())
    head = [now_ms, str(uuid_utils.uuid7()), "1", "", str(HOLD), str(LEASE_MS), population.keys[index], "0"]
    return keys, [*head, *windows, "take", "", _era(), "1"]


async def _redis_py(population: Population, count: int) -> float:
    client = redis.asyncio.Redis.from_url(settings.VALKEY_URL, max_connections=CONCURRENCY)
    decide, settle = client.register_script(scripts.DECIDE), client.register_script(scripts.SETTLE)

    async def one(number: int) -> None:
        keys, arguments = _arguments(population, number)
        await decide(keys=keys, args=arguments)
        await settle(keys=keys, args=[arguments[1], CHARGE, 0, 0])

    try:
        return await _measure(one, count)
    finally:
        await client.aclose()


async def _glide(population: Population, count: int) -> float:
    parts = urlsplit(settings.VALKEY_URL)
    client = await GlideClient.create(
        GlideClientConfiguration(
            [NodeAddress(parts.hostname or "127.0.0.1", parts.port or 6379)],
            credentials=ServerCredentials(unquote(parts.password)) if parts.password else None,
            database_id=int(parts.path.strip("/") or 0),
            request_timeout=5_000,
        )
    )
    decide, settle = Script(scripts.DECIDE), Script(scripts.SETTLE)

    async def one(number: int) -> None:
        keys, arguments = _arguments(population, number)
        await client.invoke_script(decide, keys=keys, args=arguments)
        await client.invoke_script(settle, keys=keys, args=[arguments[1], str(CHARGE), "0", "0"])

    try:
        return await _measure(one, count)
    finally:
        await client.close()


def _lua(population: Population, count: int) -> float:
    """The scripts alone, two per decision, a hundred decisions in a pipeline."""
    client = valkey()
    decide, settle = client.script_load(scripts.DECIDE), client.script_load(scripts.SETTLE)
    start = time.perf_counter()
    for first in range(0, count, 100):
        pipeline = client.pipeline(transaction=False)
        for number in range(first, first + 100):
            keys, arguments = _arguments(population, number)
            pipeline.evalsha(decide, len(keys), *keys, *arguments)
            pipeline.evalsha(settle, len(keys), *keys, arguments[1], CHARGE, 0, 0)
        pipeline.execute()
    return count / (time.perf_counter() - start)
