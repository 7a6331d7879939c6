"""What a measurement says, for people and for machines."""

import json
import resource
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Series:
    """Rates per second of the same thing measured several times, in turn with the others."""

    rates: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rates)

    @property
    def spread(self) -> float:
        """(fastest - slowest) / median."""
        return (max(self.rates) - min(self.rates)) / self.median


@dataclass(frozen=True)
class Report:
    """One bench. `beside` are its limits and peers; latencies are milliseconds."""

    name: str
    measured: Series
    beside: Mapping[str, Series]
    p50_ms: float | None = None
    p99_ms: float | None = None
    notes: Mapping[str, object] = field(default_factory=dict)

    def as_json(self) -> str:
        return json.dumps(
            {
                "name": self.name,
                "rate": round(self.measured.median, 1),
                "spread": round(self.measured.spread, 3),
                "beside": {name: round(series.median, 1) for name, series in self.beside.items()},
                "ratios": {
                    name: round(self.measured.median / series.median, 3) for name, series in self.beside.items()
                },
                "p50_ms": self.p50_ms,
                "p99_ms": self.p99_ms,
                "peak_rss_mb": round(peak_rss_mb(), 1),
                "notes": dict(self.notes),
            }
        )

    def as_text(self) -> str:
        lines = [f"{self.name}: {self.measured.median:,.0f}/s (spread {self.measured.spread:.0%})"]
        for name, series in self.beside.items():
            ratio = self.measured.median / series.median
            lines.append(f"  {ratio:6.2f} of {name}: {series.median:,.0f}/s (spread {series.spread:.0%})")
        if self.p50_ms is not None:
            lines.append(f"  p50 {self.p50_ms} ms, p99 {self.p99_ms} ms, peak {peak_rss_mb():.0f} MB")
        lines += [f"  {name}: {value}" for name, value in self.notes.items()]
        return "\n".join(lines)


def in_turn(runs: int, contenders: Mapping[str, Callable[[], float]]) -> dict[str, Series]:
    """Measure each contender (a function that gives a rate) once per run, in turn, so that noise hits all."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name, measure in contenders.items():
            rates[name].append(measure())
    return {name: Series(found) for name, found in rates.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def peak_rss_mb() -> float:
    """The largest memory of this process and of any that it waited for."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(own, children) / 1024
