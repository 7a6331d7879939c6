"""What the new events of a segment add up to, on its way to the sums and the ledger."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from billing import rollups, secret_use
from billing.models import RollupKind
from billing.rated import DAY_MS, EPOCH, RatedEvent
from billing.rollups import Group, Sums
from billing.settled import Settled

HOUR_MS = 3_600_000
# Sums are written once there are so many of them, and at the end.
MOST_GROUPS = 50_000

# Organization, API key, model, route or 0, kind, hour since 1970.
_Group = tuple[int, int, int, int, RollupKind, int]


@dataclass
class Tally:
    """Everything here is by organization or smaller: a segment of any size fits in memory.

    `charges` are nano-dollars by organization pk, event day and kind; `settled` the requests posted, by organization
    pk; `keys` the pks of all API keys that had events, `days` how many there were of each day.
    """

    charges: dict[tuple[int, date, RollupKind], int] = field(default_factory=lambda: defaultdict(int))
    settled: dict[int, Settled] = field(default_factory=lambda: defaultdict(Settled))
    keys: set[int] = field(default_factory=set)
    days: Counter[date] = field(default_factory=Counter)
    _sums: dict[_Group, Sums] = field(default_factory=dict)
    _uses: secret_use.Counts = field(default_factory=dict)

    def add(self, new: Iterable[RatedEvent]) -> None:
        """Count events that were never counted before."""
        sums, uses = self._sums, self._uses
        charges: dict[tuple[int, int, RollupKind], list[int]] = defaultdict(lambda: [0, 0])
        for event in new:
            organization, key, nanos, kind = event.organization_id, event.api_key_id, event.charge_nanos, event.kind
            ms = event.id.int >> 80
            hour = ms // HOUR_MS
            group = (organization, key, event.model_id, event.route_id or 0, kind, hour)
            summed = sums.get(group)
            if summed is None:
                summed = sums[group] = Sums()
            summed.count(nanos, event.usage, failed=event.outcome != "completed")
            user = (key, event.secret_id or 0, hour)
            use = uses.get(user)
            if use is None:
                uses[user] = [1, ms]
            else:
                use[0] += 1
                use[1] = max(use[1], ms)
            charged = charges[organization, ms // DAY_MS, kind]
            charged[0] += nanos
            charged[1] += 1
        for (organization, number, kind), (nanos, count) in charges.items():
            day = date.fromordinal(EPOCH.toordinal() + number)
            self.charges[organization, day, kind] += nanos
            self.days[day] += count
        if len(sums) >= MOST_GROUPS:
            self.write()

    def settle(self, events: Iterable[RatedEvent]) -> None:
        """Note what is in the books now, duplicates too: what was posted before can have no hold any more."""
        for event in events:
            self.settled[event.organization_id].add(event.id)

    def write(self) -> None:
        """Add what was counted since the last time to the stored sums, in the caller's transaction."""
        hours: dict[int, datetime] = {}
        hourly: dict[tuple[datetime, Group], Sums] = {}
        for (organization, key, model, route, kind, hour), sums in self._sums.items():
            start = hours.get(hour) or hours.setdefault(hour, datetime.fromtimestamp(hour * 3600, UTC))
            hourly[start, Group(organization, key, model, route, kind)] = sums
        self.keys.update(key for key, _, _ in self._uses)
        if hourly:
            rollups.add(hourly)
        secret_use.add(self._uses)
        self._sums, self._uses = {}, {}
