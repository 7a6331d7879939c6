"""`bench decision`: decisions over HTTP, by a gateway process on a core of its own; Valkey and the load share another.

The face is forward-auth, whose holds go when usage is posted, so another process posts them as workers do. Beside it
`constant`: the same server parses the same requests and answers the same each time; `lua`: the script alone, by a
native client; `drf`: the same job the usual way.
"""

import multiprocessing
import random
import time
from collections import defaultdict
from multiprocessing.connection import Connection

import redis
from django.conf import settings
from django.utils import timezone

from accounts.models import ApiKey
from devstack.bench import load, servers
from devstack.bench.population import Population, empty_database, populate
from devstack.bench.report import Report, in_turn, percentile
from gateway.credentials import create_credential
from gateway.request_ids import new_request_id
from hotstate import eras, names, publish, recovery, scripts
from hotstate.client import valkey
from hotstate.publish import clamp
from hotstate.records import BalanceRecord, Windows

ORGANIZATIONS, KEYS, CACHED = 1_000, 10_000, 8_000
CONNECTIONS = 64
POSTED_AT_ONCE = 5_000
HOT_SHARE, HOT_KEYS = 0.8, 0.2
GATEWAY = [*servers.UVICORN, "gateway.asgi:application"]
CONSTANT = [*servers.UVICORN, "devstack.bench.constant:application"]
USUAL = [*servers.GRANIAN, "devstack.bench.usual:application"]


def run(*, quick: bool) -> Report:
    """Measure; the database and Valkey are the bench's own."""
    count, runs = (10_000, 3) if quick else (60_000, 5)
    population, credential = _prepare(KEYS, ORGANIZATIONS)
    servers.pin_valkey()
    gateway_settings = {"KEY_CACHE_SIZE": str(CACHED)}
    with (
        servers.serving(GATEWAY, settings=gateway_settings) as gateway,
        servers.serving(CONSTANT) as constant,
        servers.serving(USUAL) as usual,
    ):
        measured = _Measured(population, credential, gateway)
        measured.decisions(2_000)
        series = in_turn(
            runs,
            {
                "decision": lambda: measured.decisions(count).rate,
                "constant": lambda: load.fire(constant, measured.requests(count), connections=CONNECTIONS).rate,
                "lua": lambda: _lua(population, count),
                "drf": lambda: load.fire(usual, measured.requests(count // 20), connections=16).rate,
            },
        )
        decisions = series.pop("decision")
        half = measured.decisions(count, rate=decisions.median / 2)
    return Report(
        "decision",
        decisions,
        series,
        p50_ms=round(percentile(half.latencies, 0.5), 3),
        p99_ms=round(percentile(half.latencies, 0.99), 3),
        notes={
            "keys": KEYS,
            "organizations": ORGANIZATIONS,
            "cached_keys": CACHED,
            "statuses": measured.statuses,
            "open_holds_after": measured.open_holds(),
            "connections": CONNECTIONS,
            "latency": "of load paced at half the rate, from when each request was due",
            "each": "one hold per allowed request, taken away by posting within the run",
        },
    )


def _prepare(keys: int, organizations: int) -> tuple[Population, str]:
    empty_database()
    valkey().flushdb()
    population = populate(organizations=organizations, keys=keys, models=5)
    # One key in fifty may not do what is asked.
    refused = [key for place, key in enumerate(population.keys) if place % 50 == 0]
    ApiKey.objects.filter(public_id__in=refused).update(scopes=["embeddings"])
    recovery.recover_if_lost(timezone.now)
    return population, create_credential("bench", sources=["gw-*"], now=timezone.now())[1]


class _Measured:
    """The gateway on a port, and what it answered."""

    def __init__(self, population: Population, credential: str, port: int) -> None:
        self._population, self._credential, self._port = population, credential, port
        self._chance = random.Random(1)
        self.statuses: dict[int, int] = defaultdict(int)
        self.chosen: list[int] = []

    def requests(self, count: int) -> list[bytes]:
        """Questions of a proxy: four fifths by a fifth of the keys, one in a hundred for a model that isn't there."""
        hot = int(len(self._population.keys) * HOT_KEYS)
        self.chosen = [
            self._chance.randrange(hot if self._chance.random() < HOT_SHARE else len(self._population.keys))
            for _ in range(count)
        ]
        return [self._request(key, place) for place, key in enumerate(self.chosen)]

    def decisions(self, count: int, *, rate: float | None = None) -> load.Outcome:
        """Ask so many; return once each hold is gone."""
        requests = self.requests(count)
        ours, theirs = multiprocessing.Pipe()
        poster = multiprocessing.get_context("fork").Process(target=_post, args=(theirs,))
        poster.start()
        allowed: dict[str, list[str]] = defaultdict(list)
        waiting = 0

        def answered(place: int, head: bytes) -> None:
            nonlocal waiting, allowed
            if head[9:12] != b"200":
                return
            at = head.find(b"x-request-id: ") + 14
            allowed[self._population.owners[self.chosen[place]]].append(head[at : at + 36].decode())
            waiting += 1
            if waiting == POSTED_AT_ONCE:
                ours.send(allowed)
                allowed, waiting = defaultdict(list), 0

        start = time.perf_counter()
        outcome = load.fire(self._port, requests, connections=CONNECTIONS, answered=answered, rate=rate)
        ours.send(allowed)
        ours.send(None)
        poster.join()
        outcome.seconds = time.perf_counter() - start
        for status, found in outcome.statuses.items():
            self.statuses[status] += found
        return outcome

    def open_holds(self) -> int:
        client = valkey()
        return sum(client.hlen(names.decision_keys(org)[2]) for org in self._population.organizations)

    def _request(self, key: int, place: int) -> bytes:
        model = "no-such-model" if place % 100 == 0 else "bench-0"
        return (
            f"GET /auth/check/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self._population.secrets[key]}\r\n"
            f"X-Gateway-Credential: {self._credential}\r\n"
            f"X-Forwarded-For: 192.0.2.{place % 250}\r\nX-Forwarded-Method: POST\r\n"
            f"X-Auth-Model: {model}\r\nUser-Agent: nginx\r\nAccept: */*\r\n\r\n"
        ).encode()


def _post(batches: Connection) -> None:
    """Take holds away as the posting of usage does: per organization the balance and the requests that it has."""
    client = redis.Redis.from_url(settings.VALKEY_URL)
    version = time.time_ns() // 1000
    while batch := batches.recv():
        pipeline = client.pipeline(transaction=False)
        for org, ids in batch.items():
            version += 1
            publish.put(pipeline, BalanceRecord(org=org, version=version, nanos=10**15, posted=tuple(ids)))
        pipeline.execute()


def _lua(population: Population, count: int) -> float:
    """The decision's script alone, a hundred in a pipeline; their holds go with others of the same pipeline."""
    client = valkey()
    sha = client.script_load(scripts.DECIDE)
    start = time.perf_counter()
    windows, now_ms = Windows.at(timezone.now()), int(time.time() * 1000)
    found = eras.read(client)
    era = found.id if found else ""
    for first in range(0, count, 100):
        pipeline = client.pipeline(transaction=False)
        posted: dict[str, list[str]] = defaultdict(list)
        for number in range(first, first + 100):
            place = number * 7919 % len(population.keys)
            org, key, request_id = population.owners[place], population.keys[place], str(new_request_id())
            asked = (now_ms, request_id, 1, "", clamp(settings.FORWARD_AUTH_HOLD_NANOS), 120_000, key, 0)
            pipeline.evalsha(sha, 5, *names.decision_keys(org, key), *asked, *windows, "take", "", era)
            posted[org].append(request_id)
        for org, ids in posted.items():
            publish.put(pipeline, BalanceRecord(org=org, version=0, nanos=0, posted=tuple(ids)))
        pipeline.execute()
    return count / (time.perf_counter() - start)
