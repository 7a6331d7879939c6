"""Faults on demand: what goes wrong with the next calls of a route, and with the next webhooks.

| call fault | effect |
|---|---|
| `error_before` | 500; nothing was done, nothing is saved for the idempotency key |
| `error_after` | the work is done, then 500; the 500 is saved and replayed, as Stripe does |
| `rate_limit` | 429; nothing was done |
| `slow` | waits `seconds`, then does the work: the same idempotency key meanwhile is 409 |
| `late` | does the work, and answers `seconds` later |
| `never` | does the work, and doesn't answer |
| `cut` | does the work, and closes the connection without an answer |

| webhook fault | effect |
|---|---|
| `duplicate` | sent twice |
| `drop` | never sent |
| `delay` | sent `seconds` later, others overtake it |
| `reorder` | sent after the next one to that endpoint (or after `seconds`, if none comes) |
| `bad_signature` | signed with another secret; its retries are signed right |
| `stale` | signed right an hour ago; its retries are signed now |
"""

from dataclasses import asdict, dataclass, field

from devstack.stripeserver.store import Json

OF_CALLS = ("error_before", "error_after", "rate_limit", "slow", "late", "never", "cut")
OF_WEBHOOKS = ("duplicate", "drop", "delay", "reorder", "bad_signature", "stale")
MOST = 1000


@dataclass
class Fault:
    """For the next `times` calls of `route` (`POST /v1/refunds`), or webhooks of these event types (none: of any)."""

    fault: str
    times: int = 1
    seconds: float = 1
    route: str | None = None
    types: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = OF_CALLS if self.route else OF_WEBHOOKS
        if self.fault not in known:
            raise ValueError(f"fault must be one of {', '.join(known)}")


@dataclass
class Faults:
    """The orders that aren't used up, oldest first. They don't outlive the server."""

    ordered: list[Fault] = field(default_factory=list)

    def order(self, order: Json) -> Fault:
        """Raises TypeError or ValueError where the order is wrong."""
        self.ordered.append(Fault(**order))
        del self.ordered[:-MOST]
        return self.ordered[-1]

    def of_call(self, route: str) -> Fault | None:
        """The fault of this call, which uses it up once."""
        return self._take(next((fault for fault in self.ordered if fault.route == route), None))

    def of_webhook(self, kind: str) -> Fault | None:
        """The fault of this event's webhook, which uses it up once."""
        fitting = (fault for fault in self.ordered if not fault.route and kind in (fault.types or [kind]))
        return self._take(next(fitting, None))

    def listing(self) -> list[Json]:
        return [asdict(fault) for fault in self.ordered]

    def _take(self, fault: Fault | None) -> Fault | None:
        if fault:
            fault.times -= 1
            if fault.times <= 0:
                self.ordered.remove(fault)
        return fault
