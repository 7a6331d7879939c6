"""`bench decision`: decisions over HTTP, by a gateway process on a core of its own; Valkey and the load share another.

The face is forward-auth, whose holds go when usage is posted, so another process posts them as workers do. Beside it
`constant`: the same server parses the same requests and answers the same each time; `lua`: the script alone, by a
native client; `drf`: the same job the usual way.
"""

import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.synchronize import Event

import hiredis
import redis
from django.conf import settings
from django.utils import timezone

from accounts.models import ApiKey, Organization
from devstack.bench import load, servers
from devstack.bench.population import START_NANOS, Population, empty_database, populate
from devstack.bench.report import Report, Series, in_turn
from gateway.faces.credentials import create_credential
from gateway.http.request_ids import new_request_id
from hotstate import eras, names, publish, recovery, scripts
from hotstate.client import valkey
from hotstate.publish import clamp
from hotstate.records import BalanceRecord, Windows

ORGANIZATIONS, KEYS, CACHED = 1_000, 10_000, 8_000
CONNECTIONS = 256
HOT_SHARE, HOT_KEYS = 0.8, 0.2
# Scopes and models that are refused are three in a hundred; keys that reach their own limit come on top.
MOST_REFUSED = 0.2
GATEWAY = [*servers.UVICORN, "gateway.asgi:application"]
CONSTANT = [*servers.UVICORN, "devstack.bench.constant:application"]
USUAL = [*servers.GRANIAN, "devstack.bench.usual:application"]


def run(*, quick: bool, extended: bool = False) -> Report:
    """Measure; the database and Valkey are the bench's own. `extended`: also with a thousand keys, and a million."""
    by_keys = {keys: _alone(keys) for keys in (1_000, 1_000_000)} if extended else {}
    seconds, runs = (2, 3) if quick else (8, 5)
    population, credential = _prepare(KEYS, ORGANIZATIONS)
    requests = questions(population, credential, 40_000)
    servers.pin_valkey()
    with (
        servers.serving(GATEWAY, settings={"KEY_CACHE_SIZE": str(CACHED)}) as gateway,
        servers.serving(CONSTANT) as constant,
        servers.serving(USUAL) as usual,
        load.Saturating(requests) as saturating,
    ):

        def decisions() -> float:
            with posting(population):
                return saturating.rate(gateway.port, seconds=seconds, connections=CONNECTIONS, refusals=MOST_REFUSED)

        decisions()
        series = in_turn(
            runs,
            {
                "decision": decisions,
                "constant": lambda: saturating.rate(constant.port, seconds=seconds, connections=CONNECTIONS),
                "lua": lambda: _lua(population, 4_000 * seconds),
                "drf": lambda: saturating.rate(usual.port, seconds=seconds, connections=16, refusals=MOST_REFUSED),
            },
        )
        measured = series.pop("decision")
        paced = requests[: int(measured.median / 2) * seconds]
        fire = partial(load.fire, requests=paced, connections=CONNECTIONS, rate=measured.median / 2)
        with posting(population):
            half = fire(gateway.port)
        beside = fire(constant.port)
    return Report(
        "decision",
        measured,
        series,
        p50_ms=half.percentile(0.5),
        p99_ms=half.percentile(0.99),
        notes={
            "keys": KEYS,
            "organizations": ORGANIZATIONS,
            "cached_keys": CACHED,
            "by_keys": by_keys,
            "statuses": half.statuses,
            "holds_left": open_holds(population),
            "connections": CONNECTIONS,
            "latency": "of load paced at half the rate, from when each request was due",
            "constant_ms": {"p50": beside.percentile(0.5), "p99": beside.percentile(0.99)},
            "each": "one hold per allowed request, taken away by posting within the run",
        },
    )


def _alone(keys: int) -> dict[str, float]:
    """The rate with so many keys, and the spread. As many of them are used as else, so that only the number differs."""
    everybody, credential = _prepare(keys, max(ORGANIZATIONS, keys // 100))
    population = _used(everybody)
    servers.pin_valkey()
    with (
        servers.serving(GATEWAY, settings={"KEY_CACHE_SIZE": str(CACHED * len(population.keys) // KEYS)}) as gateway,
        load.Saturating(questions(population, credential, 40_000)) as saturating,
        posting(population),
    ):
        rate = partial(saturating.rate, gateway.port, connections=CONNECTIONS, refusals=MOST_REFUSED)
        rate(seconds=16)
        found = Series([rate(seconds=8) for _ in range(5)])
    return {"rate": round(found.median, 1), "spread": round(found.spread, 3)}


def _used(population: Population) -> Population:
    """KEYS of the keys, of ORGANIZATIONS of the organizations."""
    chance = random.Random(1)
    organizations = set(chance.sample(population.organizations, ORGANIZATIONS))
    theirs = [place for place, owner in enumerate(population.owners) if owner in organizations]
    places = chance.sample(theirs, min(KEYS, len(theirs)))
    return replace(
        population,
        organizations=sorted(organizations),
        keys=[population.keys[place] for place in places],
        secrets=[population.secrets[place] for place in places],
        owners=[population.owners[place] for place in places],
    )


def _prepare(keys: int, organizations: int) -> tuple[Population, str]:
    empty_database()
    valkey().flushdb()
    population = populate(organizations=organizations, keys=keys, models=5)
    Organization.objects.update(requests_per_minute=600_000, tokens_per_minute=10**9)
    # One key in fifty may not do what is asked, one in ten has a limit of its own, one in ten a budget.
    ApiKey.objects.filter(public_id__in=population.keys[::50]).update(scopes=["embeddings"])
    ApiKey.objects.filter(public_id__in=population.keys[1::10]).update(requests_per_minute=60)
    ApiKey.objects.filter(public_id__in=population.keys[2::10]).update(budget_month_nanos=START_NANOS)
    recovery.recover_if_lost(timezone.now)
    # A million keys at once make it write its file anew.
    while any(valkey().info("persistence")[name] for name in ("aof_rewrite_in_progress", "aof_rewrite_scheduled")):
        time.sleep(0.1)
    return population, create_credential(f"bench {keys}", sources=["gw-*"], now=timezone.now())[1]


def questions(population: Population, credential: str, count: int) -> list[bytes]:
    """Of a proxy: four fifths by a fifth of the keys, one in a hundred for a model that isn't there."""
    chance = random.Random(1)
    hot = int(len(population.keys) * HOT_KEYS)
    return [
        _question(
            population.secrets[chance.randrange(hot if chance.random() < HOT_SHARE else len(population.secrets))],
            credential,
            place,
        )
        for place in range(count)
    ]


def _question(secret: str, credential: str, place: int) -> bytes:
    model = "no-such-model" if place % 100 == 0 else "bench-0"
    return (
        "GET /auth/check/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {secret}\r\nX-Gateway-Credential: {credential}\r\n"
        f"X-Forwarded-For: 192.0.2.{place % 250}\r\nX-Forwarded-Method: POST\r\n"
        f"X-Auth-Model: {model}\r\nUser-Agent: nginx\r\nAccept: */*\r\n\r\n"
    ).encode()


@contextmanager
def posting(population: Population) -> Iterator[None]:
    """Meanwhile another process posts usage; at the end every hold is gone."""
    forked = multiprocessing.get_context("fork")
    ending = forked.Event()
    poster = forked.Process(target=_post, args=(population.organizations, ending))
    poster.start()
    try:
        yield
    finally:
        ending.set()
        poster.join()
    if poster.exitcode:
        raise RuntimeError("the process that posts has failed")


def _post(organizations: list[str], ending: Event) -> None:
    """Take holds away as the posting of usage does: per organization the balance and the requests that it has."""
    os.sched_setaffinity(0, {servers.OTHER_CORE})
    # Workers have cores of their own: here they give way to Valkey and to whoever waits for answers.
    os.nice(19)
    # Whoever gives way waits long.
    client = redis.Redis.from_url(settings.VALKEY_URL, socket_timeout=60)
    version = time.time_ns() // 1000
    while True:
        last = ending.is_set()
        for first in range(0, len(organizations), publish.AT_ONCE):
            portion = organizations[first : first + publish.AT_ONCE]
            reading = client.pipeline(transaction=False)
            for org in portion:
                reading.hkeys(names.holds_of(org))
            writing = client.pipeline(transaction=False)
            for org, held in zip(portion, reading.execute(), strict=True):
                if held:
                    version += 1
                    posted = tuple(request_id.decode() for request_id in held)
                    publish.put(writing, BalanceRecord(org=org, version=version, nanos=START_NANOS, posted=posted))
            writing.execute()
        if last:
            return
        # As gateways close their segments.
        time.sleep(settings.GATEWAY_SEGMENT_SECONDS)


def open_holds(population: Population) -> int:
    client = valkey()
    return sum(client.hlen(names.holds_of(org)) for org in population.organizations)


def _lua(population: Population, count: int) -> float:
    """The script alone: commands that are packed already, a hundred on their way at once."""
    windows, now_ms = Windows.at(timezone.now()), int(time.time() * 1000)
    found = eras.read(valkey())
    era = found.id if found else ""
    sha = valkey().script_load(scripts.DECIDE)
    batches = []
    for first in range(0, count, 100):
        packed = []
        for number in range(first, first + 100):
            place = number * 7919 % len(population.keys)
            org, key, request_id = population.owners[place], population.keys[place], str(new_request_id())
            asked = (now_ms, request_id, 1, "", clamp(settings.FORWARD_AUTH_HOLD_NANOS), 120_000, key, 0)
            words = ("EVALSHA", sha, 5, *names.decision_keys(org, key), *asked, *windows, "take", "", era, 1)
            packed.append(hiredis.pack_command(words))  # type: ignore[arg-type]
        batches.append(b"".join(packed))
    rate = count / load.exchange(settings.VALKEY_URL, batches, replies=100)
    with posting(population):
        return rate
