"""How long models lately took to begin an answer, as one gateway process saw it: others find out by themselves."""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

# A newer time counts so much, the ones before together the rest.
NEWEST = 0.3
# What failed counts as so slow.
FAILED_SECONDS = 30.0
# What wasn't measured for so long is tried again, by one request at a time.
FRESH_SECONDS = 60.0


@dataclass(slots=True)
class Measured:
    seconds: float
    at: float
    # By the next time, whatever was before.
    replaced: bool = False


class Latencies:
    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._measured: dict[Hashable, Measured] = {}

    def note(self, kind: Hashable, seconds: float) -> None:
        """An answer has begun after so long."""
        known = self._measured.get(kind)
        if known and not known.replaced:
            seconds = NEWEST * seconds + (1 - NEWEST) * known.seconds
        self._measured[kind] = Measured(seconds, self._clock())

    def note_failure(self, kind: Hashable) -> None:
        """None has begun."""
        self._measured[kind] = Measured(FAILED_SECONDS, self._clock(), replaced=True)

    def in_turn(self, kinds: Sequence[Hashable]) -> list[int]:
        """Places of kinds, the quickest first. What nobody has measured lately goes before, to be measured once."""
        now = self._clock()
        unknown = [place for place, kind in enumerate(kinds) if self._is_old(kind, now)]
        first = unknown[:1]
        for place in first:
            # Until it has answered, others don't wait for it.
            self._measured[kinds[place]] = Measured(self._seconds(kinds[place]), now, replaced=True)
        rest = [place for place in range(len(kinds)) if place not in first]
        return first + sorted(rest, key=lambda place: self._seconds(kinds[place]))

    def forget(self) -> None:
        """Know nothing again."""
        self._measured.clear()

    def _is_old(self, kind: Hashable, now: float) -> bool:
        known = self._measured.get(kind)
        return known is None or now - known.at > FRESH_SECONDS

    def _seconds(self, kind: Hashable) -> float:
        known = self._measured.get(kind)
        return known.seconds if known else FAILED_SECONDS
