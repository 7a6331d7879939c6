"""A decision, explained: every check in its order, what it saw then, and how to get past the one that refused."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.deciding.decision import STRANGERS
from gateway.deciding.verdicts import Verdict
from hotstate.decision_log import DecisionRecord
from hotstate.records import Windows, ends_of_windows
from website.money import trimmed

Facts = list[tuple[str, str]]

PASSED, REFUSED, NOT_REACHED = "passed", "refused", "not reached"
# In the order in which the decision looks.
TITLES = {
    Verdict.MALFORMED: "The secret has our format",
    Verdict.UNKNOWN: "The secret belongs to a key",
    Verdict.REVOKED: "The key is not revoked",
    Verdict.EXPIRED: "Neither key nor secret has expired",
    Verdict.SUSPENDED: "The organization is not suspended",
    Verdict.ADDRESS_NOT_ALLOWED: "The key may be used from this address",
    Verdict.SCOPE_MISSING: "The key has the scope",
    Verdict.MODEL_NOT_FOUND: "The model is sold, and the key may use it",
    Verdict.BUDGET_EXHAUSTED: "The key's budgets cover the most that it may cost",
    Verdict.INSUFFICIENT_BALANCE: "The balance covers the most that it may cost",
    Verdict.RATE_LIMITED: "Within the rate limits",
    Verdict.CONCURRENCY_LIMITED: "Not too many requests at once",
}
FIXES = {
    Verdict.MALFORMED: "Copy the whole secret from where it is kept. It was cut off, or it is another vendor's.",
    Verdict.UNKNOWN: "Use a secret of a key that exists. A lost secret can't be shown again: make a new one.",
    Verdict.REVOKED: "Revoking is for good. Create another key and use it instead.",
    Verdict.EXPIRED: "Create another key, or use the key's newest secret.",
    Verdict.SUSPENDED: "Ask the support why. All keys work again once the organization is reinstated.",
    Verdict.ADDRESS_NOT_ALLOWED: "Add the address to the key's networks, or call from one of them.",
    Verdict.SCOPE_MISSING: "Give the key the scope, or use a key that has it.",
    Verdict.MODEL_NOT_FOUND: "Ask for a model that /v1/models lists with this key, or allow the key this one.",
    Verdict.BUDGET_EXHAUSTED: "Raise the key's budget, ask for fewer tokens (max_tokens), or wait for the next window.",
    Verdict.INSUFFICIENT_BALANCE: "Top up, or ask for fewer tokens (max_tokens). Ended requests give back holds.",
    Verdict.RATE_LIMITED: "Wait as long as Retry-After says and send more slowly, or raise the limit.",
    Verdict.CONCURRENCY_LIMITED: "Wait until a running request has ended, or raise the limit.",
}
# Where waiting doesn't help.
NEVER_FITS = {
    Verdict.BUDGET_EXHAUSTED: "Raise the key's budget, or ask for fewer tokens (max_tokens): waiting doesn't help.",
    Verdict.RATE_LIMITED: "It takes more than the limit allows at once: ask for fewer tokens, or raise the limit.",
}
STRANGERS_FIX = (
    "Use a secret of a key that exists. This one wasn't looked up: its address had shown too many unknown ones."
)
LIMITS = {
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute",
    "requests_per_day": "requests a day",
}
BUDGETS = {"day": "today", "week": "this week", "month": "this month", "total": "in all"}


@dataclass(frozen=True)
class Check:
    """One check: how it went, and (what, what it saw then)."""

    title: str
    state: str
    saw: Facts


@dataclass(frozen=True)
class Explanation:
    """`resets_at` is when the same request may pass without anybody doing anything; None: not by itself, or it did."""

    record: DecisionRecord
    checks: list[Check]
    fix: str
    resets_at: datetime | None

    @property
    def allowed(self) -> bool:
        return self.record.verdict == Verdict.ALLOWED

    @property
    def at(self) -> datetime:
        return moment(self.record.at_ms)

    @property
    def bound(self) -> str:
        """The title of the check that refused."""
        return TITLES.get(_refused_by(self.record), "")


def explain(record: DecisionRecord) -> Explanation:
    """Every check of a recorded decision, from what was recorded alone."""
    order = list(TITLES)
    verdict = Verdict(record.verdict)
    refused_by = _refused_by(record)
    stopped = order.index(refused_by) if refused_by in TITLES else len(order)
    checks = []
    for number, check in enumerate(order):
        state = PASSED if number < stopped else REFUSED if number == stopped else NOT_REACHED
        # What wasn't reached wasn't looked at; the rest is as it was then.
        checks.append(Check(TITLES[check], state, _SAW[check](record) if number <= stopped else []))
    resets_at = _resets_at(record, verdict)
    fix = FIXES.get(verdict, "") if resets_at else NEVER_FITS.get(verdict) or FIXES.get(verdict, "")
    return Explanation(record, checks, STRANGERS_FIX if refused_by is not verdict else fix, resets_at)


def _refused_by(record: DecisionRecord) -> Verdict:
    """The check that refused: a flood of unknown secrets is told as a rate, and is one of that check."""
    return Verdict.UNKNOWN if record.bound == STRANGERS else Verdict(record.verdict)


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _nothing(record: DecisionRecord) -> Facts:
    return []


def _key(record: DecisionRecord) -> Facts:
    if record.bound == STRANGERS:
        return [("not looked up", STRANGERS)]
    return [("key", record.key)] if record.key else []


def _revoked(record: DecisionRecord) -> Facts:
    return _of_record(record.api_key, "revoked", "the key's record")


def _suspended(record: DecisionRecord) -> Facts:
    return _of_record(record.organization, "suspended", "the organization's record")


def _of_record(saw: dict[str, str], field: str, whose: str) -> Facts:
    if field not in saw:
        return []
    return [(field, "yes" if saw[field] == "1" else "no"), (whose, f"version {saw.get('version', '')}")]


def _expiry(record: DecisionRecord) -> Facts:
    expires = record.api_key.get("expires", "")
    facts = [("key expires", _told(int(expires)) if expires else "never")]
    if record.secret_lapses_ms is not None:
        facts.append(("this secret ends", _told(record.secret_lapses_ms)))
    return facts


def _address(record: DecisionRecord) -> Facts:
    return [
        ("address", record.address or "unknown"),
        ("allowed", _listed(record.networks, record.more_networks) or "every address"),
    ]


def _scope(record: DecisionRecord) -> Facts:
    return [("needed", record.scope or "none"), ("the key has", ", ".join(record.scopes) or "none")]


def _model(record: DecisionRecord) -> Facts:
    facts = [
        ("asked for", record.model or "none"),
        ("sold", "yes" if record.offered else "no"),
        ("the key may use", _listed(record.models, record.more_models) or "every model"),
    ]
    if record.organization_models:
        of_plan = _listed(record.organization_models, record.more_organization_models)
        facts.append(("the organization may use", of_plan))
    return facts


def _budgets(record: DecisionRecord) -> Facts:
    saw, held = record.api_key, int(record.counters.get("key.held") or 0)
    facts = [("may cost", trimmed(record.hold_nanos or 0))]
    for window, label in BUDGETS.items():
        if limit := saw.get(f"budget_{window}"):
            spent = _spent(record, window)
            facts.append((label, f"{trimmed(spent)} spent and {trimmed(held)} held of {trimmed(int(limit))}"))
    return facts if len(facts) > 1 else [("budgets", "none")]


def _balance(record: DecisionRecord) -> Facts:
    balance, overdraft, held = (int(record.organization.get(name) or 0) for name in ("balance", "overdraft", "held"))
    facts = [("may cost", trimmed(record.hold_nanos or 0)), ("balance", trimmed(balance))]
    if overdraft:
        facts.append(("overdraft allowed", trimmed(overdraft)))
    return [*facts, ("held by running requests", trimmed(held)), ("spendable", trimmed(balance + overdraft - held))]


def _rates(record: DecisionRecord) -> Facts:
    facts = []
    for name, most, left, back_ms in record.limits:
        who, _, limit = name.partition(".")
        back = f", all back in {_seconds(back_ms)}" if back_ms > 0 else ""
        facts.append((f"{who}: {LIMITS[limit]}", f"{left:,} of {most:,} left{back}"))
    return facts or [("limits", "none")]


def _concurrency(record: DecisionRecord) -> Facts:
    facts = []
    for who, fields, prefix in (("key", record.api_key, "key."), ("organization", record.organization, "")):
        if most := fields.get("concurrent_requests"):
            facts.append((who, f"{record.counters.get(prefix + 'open') or 0} running, of {int(most):,} at once"))
    return facts or [("limits", "none")]


_SAW: dict[Verdict, Callable[[DecisionRecord], Facts]] = {
    Verdict.MALFORMED: _nothing,
    Verdict.UNKNOWN: _key,
    Verdict.REVOKED: _revoked,
    Verdict.EXPIRED: _expiry,
    Verdict.SUSPENDED: _suspended,
    Verdict.ADDRESS_NOT_ALLOWED: _address,
    Verdict.SCOPE_MISSING: _scope,
    Verdict.MODEL_NOT_FOUND: _model,
    Verdict.BUDGET_EXHAUSTED: _budgets,
    Verdict.INSUFFICIENT_BALANCE: _balance,
    Verdict.RATE_LIMITED: _rates,
    Verdict.CONCURRENCY_LIMITED: _concurrency,
}


def _resets_at(record: DecisionRecord, verdict: Verdict) -> datetime | None:
    at = moment(record.at_ms)
    if verdict is Verdict.RATE_LIMITED and record.wait_ms and record.wait_ms > 0:
        return at + timedelta(milliseconds=record.wait_ms)
    if verdict is Verdict.BUDGET_EXHAUSTED:
        return _budgets_reset_at(record, at)
    return None


def _budgets_reset_at(record: DecisionRecord, at: datetime) -> datetime | None:
    """When the last of the windows that are used up ends; None where the request alone is too much for one."""
    ends, hold, exceeded = ends_of_windows(at), record.hold_nanos or 0, {record.bound}
    for window in BUDGETS:
        if limit := int(record.api_key.get(f"budget_{window}") or 0):
            if hold > limit:
                return None
            used = _spent(record, window) + int(record.counters.get("key.held") or 0)
            if used + hold > limit or used >= limit:
                exceeded.add(window)
    return max(ends[window] for window in exceeded) if exceeded <= ends.keys() else None


def _spent(record: DecisionRecord, window: str) -> int:
    """What was spent in the window in which the request came, nano-dollars."""
    # A newer window than the request's: the clock that posted was ahead.
    current = window == "total" or record.api_key.get(window, "") >= getattr(Windows.at(moment(record.at_ms)), window)
    return int(record.api_key.get(f"spent_{window}") or 0) if current else 0


def _listed(texts: list[str], more: int) -> str:
    return ", ".join(texts) + (f" and {more:,} more" if more else "")


def _told(milliseconds: int) -> str:
    return f"{moment(milliseconds):%Y-%m-%d %H:%M:%S} UTC"


def _seconds(milliseconds: int) -> str:
    return f"{-(-milliseconds // 1000):,} s"
