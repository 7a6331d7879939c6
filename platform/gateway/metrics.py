"""What a gateway process counts, for Prometheus. Names and meanings are in docs/operating.md."""

from prometheus_client import Counter, Gauge, Histogram

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

_decisions = Counter("keymeter_decisions", "Decisions", ["verdict", "face"])
_seconds = Histogram("keymeter_decision_seconds", "Time from question to verdict, Valkey included", buckets=BUCKETS)
holds_open = Gauge("keymeter_holds_open", "Holds of requests that this process is working on")
holds_granted = Gauge("keymeter_holds_granted", "Holds of requests that this process allowed to other gateways")
holds = Counter("keymeter_holds", "Holds that ended, by how", ["end"])
_key_cache = Counter("keymeter_key_cache", "Look-ups of API keys in the process's cache", ["result"])
cache_hits, cache_misses, cached_unknown = (_key_cache.labels(result) for result in ("hit", "miss", "unknown"))
valkey_errors = Counter("keymeter_valkey_errors", "Calls to Valkey without an answer")
attempts = Counter("keymeter_upstream_attempts", "Requests to upstreams, by how they ended", ["outcome"])
unexplained = Counter("keymeter_decisions_unexplained", "Decisions whose record was dropped")

# The label's look-up costs more than the count.
_by_labels: dict[tuple[str, str], Counter] = {}


def decided(verdict: str, face: str, *, seconds: float | None = None) -> None:
    """Count a decision; `seconds` is None where only the cache was asked."""
    child = _by_labels.get((verdict, face))
    if child is None:
        child = _by_labels[verdict, face] = _decisions.labels(verdict, face)
    child.inc()
    if seconds is not None:
        _seconds.observe(seconds)
