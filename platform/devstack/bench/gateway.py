"""`bench gateway`: chat completions, decided, logged and settled, by a gateway process on a core of its own.

Beside it `nginx`, one worker that passes the same to the same model server, and `direct`, the model server alone; also
`litellm`, where it is installed. The model server, Valkey and the load share the other core.
"""

import json
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial

import psutil
from django.utils import timezone

from accounts.models import Organization
from catalog.models import Route, Upstream
from devstack.bench import cpu, load, peers, servers
from devstack.bench.decision import GATEWAY, open_holds, posting
from devstack.bench.fastmodel import CHUNKS, GAP_SECONDS
from devstack.bench.population import Population, empty_database, populate
from devstack.bench.report import Report, Series, in_turn, percentile
from hotstate import recovery
from hotstate.client import valkey

ORGANIZATIONS, KEYS = 1_000, 10_000
CONNECTIONS, PACED_CONNECTIONS = 64, 200
FAST, PACED = "bench-0", "bench-1"
MESSAGES = [{"role": "user", "content": "Say fifty words about the sea, in plain English."}]


@dataclass(frozen=True)
class Way:
    """A server to ask, with which keys and for which models: one that answers at once, and a paced one."""

    server: servers.Server
    secrets: Sequence[str] = ("none",)
    models: tuple[str, str] = ("bench", "paced")

    def requests(self, model: str, *, stream: bool, count: int = 20_000) -> list[bytes]:
        """Of all keys alike."""
        chance = random.Random(1)
        body = {"model": model, "messages": MESSAGES, "max_tokens": 60, **({"stream": True} if stream else {})}
        content = json.dumps(body, separators=(",", ":"))
        return [
            (
                "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {chance.choice(self.secrets)}\r\n"
                f"Content-Length: {len(content)}\r\n\r\n{content}"
            ).encode()
            for _ in range(count)
        ]


def run(*, quick: bool) -> Report:
    """Measure; the database and Valkey are the bench's own."""
    seconds, runs = (1, 3) if quick else (6, 5)
    with ExitStack() as stack:
        model = stack.enter_context(servers.serving(["devstack.bench.fastmodel"], core=servers.OTHER_CORE))
        population = _prepare(model.port)
        servers.pin_valkey()
        gateway = stack.enter_context(servers.serving(GATEWAY))
        ways = {
            "gateway": Way(gateway, population.secrets, (FAST, PACED)),
            "nginx": Way(stack.enter_context(peers.nginx(model.port))),
            "direct": Way(model),
        }
        if litellm := stack.enter_context(peers.litellm(model.port)):
            ways["litellm"] = Way(litellm)
        with posting(population):
            report = _measure(ways, seconds=seconds, runs=runs)
        return replace(report, notes={**report.notes, "holds_left": open_holds(population), **_peers(ways)})


def _peers(ways: dict[str, Way]) -> dict[str, str]:
    return {} if "litellm" in ways else {"litellm": "not installed: python3 manage.py test --extended does it"}


def _measure(ways: dict[str, Way], *, seconds: int, runs: int) -> Report:
    ours = ways["gateway"]
    _rate(ours, stream=False, seconds=2)
    whole = in_turn(runs, {name: partial(_rate, way, stream=False, seconds=seconds) for name, way in ways.items()})
    measured = whole.pop("gateway")
    latency = {name: _latency(way, rate=measured.median / 2, seconds=seconds) for name, way in ways.items()}
    before = _memory_mb(ours)
    streamed = in_turn(runs, {name: partial(_rate, way, stream=True, seconds=seconds) for name, way in ways.items()})
    proxies = {name: ways[name] for name in ("gateway", "nginx")}
    paced = in_turn(runs, {name: partial(_efficiency, way, seconds=seconds) for name, way in proxies.items()})
    # What the gateway can do in a second of its core.
    half = paced["gateway"].median / 2
    first = {name: _first_token(ways[name], rate=half, seconds=seconds) for name in ("gateway", "nginx", "direct")}
    return Report(
        "gateway",
        measured,
        whole,
        p50_ms=latency["gateway"]["p50"],
        p99_ms=latency["gateway"]["p99"],
        notes={
            "added_ms": round(latency["gateway"]["p50"] - latency["direct"]["p50"], 3),
            "latency_ms": latency,
            "streams": _told(streamed),
            "streams_of_nginx": _ratio(streamed),
            "paced_streams_per_cpu_second": _told(paced),
            "paced_streams_of_nginx": _ratio(paced),
            "first_token_ms": first,
            "first_token_added_ms": round(first["gateway"]["p50"] - first["direct"]["p50"], 3),
            "gateway_memory_mb": {"before streams": before, "after": _memory_mb(ours)},
            "chunks": CHUNKS,
            "gap_ms": int(GAP_SECONDS * 1000),
            "connections": {"plain, streamed": CONNECTIONS, "paced": PACED_CONNECTIONS},
            "latency": "at half the rate, from when each request was due",
        },
    )


def _told(series: dict[str, Series]) -> dict[str, dict[str, float]]:
    return {name: {"rate": round(one.median, 1), "spread": round(one.spread, 3)} for name, one in series.items()}


def _ratio(series: dict[str, Series]) -> float:
    return round(series["gateway"].median / series["nginx"].median, 3)


def _prepare(model_port: int) -> Population:
    empty_database()
    valkey().flushdb()
    population = populate(organizations=ORGANIZATIONS, keys=KEYS, models=2)
    Organization.objects.update(requests_per_minute=600_000, tokens_per_minute=10**9)
    Upstream.objects.update(base_url=f"http://127.0.0.1:{model_port}/v1")
    Route.objects.filter(model__public_id=PACED).update(upstream_model="paced")
    recovery.recover_if_lost(timezone.now)
    return population


def _rate(way: Way, *, stream: bool, seconds: int) -> float:
    with load.Saturating(way.requests(way.models[0], stream=stream)) as saturating:
        return saturating.rate(way.server.port, seconds=seconds, connections=CONNECTIONS)


def _efficiency(way: Way, *, seconds: int) -> float:
    """Streams per CPU second of the proxy, whose chunks come 10 ms apart."""
    with load.Saturating(way.requests(way.models[1], stream=True)) as saturating:
        before, start = cpu.of_tree(way.server.pid), time.perf_counter()
        rate = saturating.rate(way.server.port, seconds=seconds, connections=PACED_CONNECTIONS)
        return rate * (time.perf_counter() - start) / (cpu.of_tree(way.server.pid) - before)


def _latency(way: Way, *, rate: float, seconds: int) -> dict[str, float]:
    """Of whole answers, milliseconds, at that many requests a second."""
    requests = way.requests(way.models[0], stream=False, count=int(rate * seconds))
    found = load.fire(way.server.port, requests, connections=CONNECTIONS, rate=rate)
    found.require_answers()
    return {"p50": found.percentile(0.5), "p99": found.percentile(0.99)}


def _first_token(way: Way, *, rate: float, seconds: int) -> dict[str, float]:
    """From when a paced stream was due until its first event, milliseconds."""
    requests = way.requests(way.models[1], stream=True, count=int(rate * seconds))
    found = load.fire(way.server.port, requests, connections=2 * int(rate * CHUNKS * GAP_SECONDS), rate=rate)
    found.require_answers()
    return {"p50": round(percentile(found.firsts, 0.5), 3), "p99": round(percentile(found.firsts, 0.99), 3)}


def _memory_mb(way: Way) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(psutil.Process(way.server.pid).memory_info().rss) // 2**20
    return 0
