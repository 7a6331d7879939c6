"""A plain Python model of the decision: what the scripts are compared with."""

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from hotstate.records import Budgets, Limits, Terms, Windows

ORG, KEYS = "org_m", ("key_a", "key_b")
START = datetime(2026, 11, 29, 23, 50, tzinfo=UTC)
LEASE_MS = 60_000
# A limit's counter that is further ahead than its window and this is of a clock that was wrong.
SKEW_MS = 300_000
# Doubles don't add up exactly.
GRACE_MS = 0.01
WINDOW_MS = {"requests_per_minute": 60_000, "tokens_per_minute": 60_000, "requests_per_day": 86_400_000}


class Answer(NamedTuple):
    """What a decision says: the verdict, what bound, how long to wait (-1: for ever), and what limits have left then.

    `limits` are name, limit, what is left, and in how many milliseconds all of it is back.
    """

    verdict: str
    bound: str = ""
    wait_ms: int = 0
    limits: tuple[tuple[str, int, int, int], ...] = ()


@dataclass(frozen=True)
class Hold:
    key: str
    amount: int
    # What limits still have of its estimate; none after they were lost.
    tokens: int
    open: bool
    admitted_ms: int
    until_ms: int


@dataclass(frozen=True)
class Rate:
    """One limit of requests or tokens in a window, and the moment at which all that was taken is paid back."""

    who: str
    name: str
    most: int
    paid_back_ms: float

    @property
    def window_ms(self) -> int:
        return WINDOW_MS[self.name]

    def taking(self, cost: int) -> "Rate":
        return replace(self, paid_back_ms=self.paid_back_ms + cost * (self.window_ms / self.most))

    def wait_ms(self, now_ms: int) -> float:
        """How long until it is within its window."""
        over = self.paid_back_ms - now_ms - self.window_ms
        return over if over > GRACE_MS else 0.0

    def told(self, now_ms: int) -> tuple[str, int, int, int]:
        left = bisect_left(range(1, self.most + 1), 1, key=lambda cost: bool(self.taking(cost).wait_ms(now_ms)))
        whose = "organization" if self.who == ORG else "key"
        return f"{whose}.{self.name}", self.most, left, math.ceil(self.paid_back_ms - now_ms)


@dataclass
class Model:
    """The decision as one would say it."""

    now: datetime = START
    balance: int = 500
    overdraft: int = 0
    suspended: bool = False
    limits: dict[str, Limits] = field(default_factory=dict)
    terms: tuple[Terms, ...] = ()
    budgets: dict[str, Budgets] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    expires_ms: dict[str, int | None] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    paid_back_at: dict[tuple[str, str], float] = field(default_factory=dict)
    spent: dict[str, list[tuple[datetime, int]]] = field(default_factory=lambda: {key: [] for key in KEYS})
    published: dict[str, tuple[Windows, dict[str, int]]] = field(default_factory=dict)

    @property
    def now_ms(self) -> int:
        return int(self.now.timestamp() * 1000)

    def held(self, key: str | None = None) -> int:
        return sum(hold.amount for hold in self.holds.values() if key in (None, hold.key))

    def running(self, key: str | None = None) -> int:
        return sum(hold.open for hold in self.holds.values() if key in (None, hold.key))

    def spent_in(self, key: str) -> dict[str, int]:
        windows = Windows.at(self.now)
        sums = {"day": 0, "week": 0, "month": 0, "total": 0}
        for at, nanos in self.spent[key]:
            sums["total"] += nanos
            for name, window, mine in zip(("day", "week", "month"), Windows.at(at), windows, strict=True):
                sums[name] += nanos if window == mine else 0
        return sums

    def published_spending(self, key: str) -> dict[str, int]:
        """As the script sees it: a window that isn't the published one has nothing yet."""
        windows, spent = self.published[key]
        now = zip(("day", "week", "month"), windows, Windows.at(self.now), strict=True)
        return spent | {name: 0 for name, published, window in now if published < window}

    def ask(self, key: str) -> Answer:
        """A question only."""
        refused = self._standing(key)
        return Answer(refused) if refused else self._take(key, requests=0, tokens=0)

    def count(self, key: str) -> Answer:
        """A request that costs nothing and holds nothing: neither money nor what runs is looked at."""
        if refused := self._standing(key):
            return Answer(refused)
        limited = self._limited(key, requests=1, tokens=0)
        return limited or self._take(key, requests=1, tokens=0)

    def _standing(self, key: str) -> str:
        if key in self.revoked:
            return "revoked"
        expires_ms = self.expires_ms.get(key)
        if expires_ms is not None and expires_ms <= self.now_ms:
            return "expired"
        return "suspended" if self.suspended else ""

    def decide(self, request_id: str, key: str, amount: int, tokens: int, found: str = "") -> Answer:
        """`found` is what the caller refuses it for, if it does."""
        standing = self._standing(key)
        if found == "expired" and standing != "revoked":
            return Answer("expired")
        if standing:
            return Answer(standing)
        if found == "address_not_allowed":
            return Answer(found)
        if found:
            return Answer(found, limits=self._told(key))
        if hold := self.holds.get(request_id):
            same = hold.open and hold.key == key and hold.amount >= amount
            return self._take(key, requests=0, tokens=0) if same else Answer("used")
        if exceeded := self._exceeded_budget(key, amount):
            return Answer("budget_exhausted", exceeded, limits=self._told(key))
        if amount > 0 and amount > self.spendable:
            return Answer("insufficient_balance", limits=self._told(key))
        if limited := self._limited(key, requests=1, tokens=tokens):
            return limited
        for who, running in ((key, self.running(key)), (ORG, self.running())):
            most = self.limits[who].concurrent_requests
            if most is not None and running >= most:
                bound = f"{'organization' if who == ORG else 'key'}.concurrent_requests"
                return Answer("concurrency_limited", bound, 1000, self._told(key))
        until_ms = self.now_ms + LEASE_MS
        self.holds[request_id] = Hold(key, amount, tokens, open=True, admitted_ms=self.now_ms, until_ms=until_ms)
        return self._take(key, requests=1, tokens=tokens)

    @property
    def spendable(self) -> int:
        return self.balance + self.overdraft - self.held()

    def _exceeded_budget(self, key: str, amount: int) -> str:
        spent = self.published_spending(key)
        for name in ("day", "week", "month", "total"):
            most, used = getattr(self.budgets[key], name), spent[name] + self.held(key)
            if most is not None and (used + amount > most or used >= most):
                return name
        return ""

    def rates(self, key: str) -> list[Rate]:
        """The limits that bind a key's requests, its own first, as they are at this moment."""
        found = []
        for who in (key, ORG):
            for name, window_ms in WINDOW_MS.items():
                most = getattr(self.limits[who], name)
                if most is not None:
                    paid_back_ms = max(self.paid_back_at.get((who, name), 0.0), self.now_ms)
                    # Tokens may be further ahead: what was taken beyond an estimate.
                    if name != "tokens_per_minute" and paid_back_ms > self.now_ms + window_ms + SKEW_MS:
                        paid_back_ms = self.now_ms
                    found.append(Rate(who, name, most, paid_back_ms))
        return found

    def _told(self, key: str) -> tuple[tuple[str, int, int, int], ...]:
        return tuple(rate.told(self.now_ms) for rate in self.rates(key))

    def _limited(self, key: str, *, requests: int, tokens: int) -> Answer | None:
        """The refusal by the limit that has to be waited for longest."""
        waits = []
        for rate in self.rates(key):
            cost = tokens if rate.name == "tokens_per_minute" else requests
            wait_ms = math.inf if cost > rate.most else rate.taking(cost).wait_ms(self.now_ms)
            if cost and wait_ms:
                waits.append((wait_ms, rate.told(self.now_ms)[0]))
        if not waits:
            return None
        wait_ms, bound = max(waits, key=lambda found: found[0])
        return Answer("rate_limited", bound, -1 if wait_ms == math.inf else math.ceil(wait_ms), self._told(key))

    def _take(self, key: str, *, requests: int, tokens: int) -> Answer:
        rates = [rate.taking(tokens if rate.name == "tokens_per_minute" else requests) for rate in self.rates(key)]
        if requests:
            self.paid_back_at |= {(rate.who, rate.name): float(f"{rate.paid_back_ms:.3f}") for rate in rates}
        return Answer("allowed", limits=tuple(rate.told(self.now_ms) for rate in rates))

    def grow(self, request_id: str, nanos: int) -> bool:
        """So much is to be held in all, if there is as much more."""
        hold = self.holds.get(request_id)
        if not hold or not hold.open:
            return False
        more = nanos - hold.amount
        if more > 0:
            if more > self.spendable or self._exceeded_budget(hold.key, more):
                return False
            self.holds[request_id] = replace(hold, amount=nanos)
        return True

    def renew(self, request_ids: list[str]) -> None:
        for request_id in request_ids:
            hold = self.holds.get(request_id)
            if hold and hold.open:
                self.holds[request_id] = replace(hold, until_ms=self.now_ms + LEASE_MS)

    def lapse(self) -> dict[str, int]:
        """What is gone, and how much it held."""
        due = {name: hold for name, hold in self.holds.items() if hold.open and hold.until_ms <= self.now_ms}
        for name in due:
            del self.holds[name]
        return {name: hold.amount for name, hold in due.items()}

    def lose(self) -> None:
        """Valkey is empty, and gateways tell what they hold: limits begin afresh."""
        self.paid_back_at = {}
        self.holds = {name: replace(hold, tokens=0) for name, hold in self.holds.items()}

    def settle(self, request_id: str, charge: int, tokens: int) -> bool:
        hold = self.holds.get(request_id)
        if not hold or not hold.open:
            return False
        self.holds[request_id] = replace(hold, amount=charge, open=False)
        self._correct(hold, tokens)
        return True

    def release(self, request_id: str) -> bool:
        hold = self.holds.get(request_id)
        if not hold or not hold.open:
            return False
        del self.holds[request_id]
        self._correct(hold, 0)
        return True

    def _correct(self, hold: Hold, tokens: int) -> None:
        for who in (hold.key, ORG):
            most, what = self.limits[who].tokens_per_minute, (who, "tokens_per_minute")
            if most is not None and what in self.paid_back_at:
                each = 60_000 / most
                # Of the estimate, time has paid back a part already.
                left = max(0.0, hold.tokens - (self.now_ms - hold.admitted_ms) / each)
                corrected = self.paid_back_at[what] + max(tokens - hold.tokens, -left) * each
                self.paid_back_at[what] = float(f"{corrected:.3f}")
