"""A plain Python model of the decision: what the scripts are compared with."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hotstate.records import Budgets, Limits, Terms, Windows

ORG, KEYS = "org_m", ("key_a", "key_b")
START = datetime(2026, 11, 29, 23, 50, tzinfo=UTC)
LEASE_MS = 60_000
WINDOW_MS = {"requests_per_minute": 60_000, "tokens_per_minute": 60_000, "requests_per_day": 86_400_000}


@dataclass
class Hold:
    key: str
    amount: int
    tokens: int
    open: bool
    admitted_ms: int

    @property
    def until_ms(self) -> int:
        return self.admitted_ms + LEASE_MS


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

    def count(self, key: str) -> str:
        """A request that costs nothing and holds nothing: neither money nor what runs is looked at."""
        return self._standing(key) or self._rates(key, 0)

    def _standing(self, key: str) -> str:
        if key in self.revoked:
            return "revoked"
        return "suspended" if self.suspended else ""

    def decide(self, request_id: str, key: str, amount: int, tokens: int) -> str:
        if refused := self._standing(key):
            return refused
        if hold := self.holds.get(request_id):
            return "allowed" if hold.open and hold.key == key and hold.amount >= amount else "used"
        spent = self.published_spending(key)
        for name in ("day", "week", "month", "total"):
            most = getattr(self.budgets[key], name)
            used = spent[name] + self.held(key)
            if most is not None and (used + amount > most or used >= most):
                return "budget_exhausted"
        if amount > 0 and amount > self.balance + self.overdraft - self.held():
            return "insufficient_balance"
        paid_back_at, verdict = dict(self.paid_back_at), self._rates(key, tokens)
        if verdict != "allowed":
            return verdict
        for who, running in ((key, self.running(key)), (ORG, self.running())):
            most = self.limits[who].concurrent_requests
            if most is not None and running >= most:
                self.paid_back_at = paid_back_at
                return "concurrency_limited"
        self.holds[request_id] = Hold(key, amount, tokens, open=True, admitted_ms=self.now_ms)
        return "allowed"

    def _rates(self, key: str, tokens: int) -> str:
        after: dict[tuple[str, str], float] = {}
        for who in (key, ORG):
            for name, window in WINDOW_MS.items():
                most = getattr(self.limits[who], name)
                if most is not None:
                    cost = tokens if name == "tokens_per_minute" else 1
                    before = max(self.paid_back_at.get((who, name), 0.0), self.now_ms)
                    # A counter so far ahead is of a clock that was wrong.
                    if name != "tokens_per_minute" and before > self.now_ms + window + 300_000:
                        before = self.now_ms
                    after[who, name] = before + cost * (window / most)
                    if cost > 0 and after[who, name] - self.now_ms - window > 0.01:
                        return "rate_limited"
        self.paid_back_at |= {what: float(f"{moment:.3f}") for what, moment in after.items()}
        return "allowed"

    def settle(self, request_id: str, charge: int, tokens: int) -> None:
        hold = self.holds.get(request_id)
        if hold and hold.open:
            self.holds[request_id] = replace(hold, amount=charge, open=False)
            self._correct(hold, tokens)

    def release(self, request_id: str) -> None:
        hold = self.holds.get(request_id)
        if hold and hold.open:
            del self.holds[request_id]
            self._correct(hold, 0)

    def _correct(self, hold: Hold, tokens: int) -> None:
        for who in (hold.key, ORG):
            most, what = self.limits[who].tokens_per_minute, (who, "tokens_per_minute")
            if most is not None and what in self.paid_back_at:
                each = 60_000 / most
                # Of the estimate, time has paid back a part already.
                left = max(0.0, hold.tokens - (self.now_ms - hold.admitted_ms) / each)
                corrected = self.paid_back_at[what] + max(tokens - hold.tokens, -left) * each
                self.paid_back_at[what] = float(f"{corrected:.3f}")
