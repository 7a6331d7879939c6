"""An explanation says of every check how it went, from what was recorded alone."""

from datetime import UTC, datetime

import pytest

from gateway.deciding.decision import STRANGERS
from gateway.deciding.verdicts import Verdict
from hotstate.decision_log import DecisionRecord
from website.explaining import NOT_REACHED, PASSED, REFUSED, TITLES, explain

AT = datetime(2028, 2, 29, 23, 59, 58, tzinfo=UTC)


def record(verdict: str, **fields: object) -> DecisionRecord:
    at_ms = int(AT.timestamp() * 1000)
    return DecisionRecord(id="r", at_ms=at_ms, verdict=verdict, face="api", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.ALLOWED])
def test_what_refused_stands_after_what_passed_and_before_what_was_not_reached(verdict: Verdict) -> None:
    told = explain(record(verdict))
    states = [check.state for check in told.checks]
    at = list(TITLES).index(verdict)
    assert states == [PASSED] * at + [REFUSED] + [NOT_REACHED] * (len(TITLES) - at - 1)
    assert told.fix
    assert told.bound == told.checks[at].title
    assert not any(check.saw for check in told.checks[at + 1 :])


def test_the_checks_are_all_verdicts_in_their_order() -> None:
    assert [*TITLES, Verdict.ALLOWED] == list(Verdict)


def test_what_was_allowed_passed_every_check() -> None:
    told = explain(record("allowed"))
    assert {check.state for check in told.checks} == {PASSED}
    assert (told.fix, told.resets_at) == ("", None)


@pytest.mark.parametrize(
    ("bound", "resets"),
    [
        ("day", datetime(2028, 3, 1, tzinfo=UTC)),
        ("week", datetime(2028, 3, 6, tzinfo=UTC)),
        ("month", datetime(2028, 3, 1, tzinfo=UTC)),
        ("total", None),
    ],
)
def test_a_budget_says_when_its_window_ends(bound: str, resets: datetime | None) -> None:
    assert explain(record("budget_exhausted", bound=bound)).resets_at == resets


def test_what_is_more_than_a_whole_budget_never_passes() -> None:
    told = explain(record("budget_exhausted", bound="day", hold_nanos=70, api_key={"budget_day": "10"}))
    assert told.resets_at is None
    assert "waiting doesn't help" in told.fix
    told = explain(record("budget_exhausted", bound="day", hold_nanos=7, api_key={"budget_day": "10"}))
    assert told.resets_at == datetime(2028, 3, 1, tzinfo=UTC)
    assert "or wait" in told.fix


def test_where_several_budgets_are_used_up_the_last_to_end_counts() -> None:
    now = {"day": "2028-02-29", "week": "2028-W09", "month": "2028-02"}
    key = {**now, "budget_day": "10", "spent_day": "9", "budget_week": "50", "spent_week": "49", "budget_month": "99"}
    told = explain(record("budget_exhausted", bound="day", hold_nanos=5, api_key=key))
    assert told.resets_at == datetime(2028, 3, 6, tzinfo=UTC)
    key |= {"budget_total": "100", "spent_total": "50"}
    told = explain(record("budget_exhausted", bound="day", hold_nanos=5, api_key=key, counters={"key.held": "46"}))
    assert told.resets_at is None


def test_a_rate_says_when_to_come_again() -> None:
    told = explain(record("rate_limited", bound="key.requests_per_minute", wait_ms=1500))
    assert told.resets_at == datetime(2028, 2, 29, 23, 59, 59, 500_000, tzinfo=UTC)
    never = explain(record("rate_limited", wait_ms=-1))
    assert (never.resets_at, "at once" in never.fix, "Retry-After" in told.fix) == (None, True, True)


def test_one_that_was_not_looked_up_is_told_as_that() -> None:
    told = explain(record("rate_limited", bound=STRANGERS, wait_ms=1500))
    assert [check.state for check in told.checks][:3] == [PASSED, REFUSED, NOT_REACHED]
    assert told.bound == TITLES[Verdict.UNKNOWN]
    assert "wasn't looked up" in told.fix
    assert told.resets_at == datetime(2028, 2, 29, 23, 59, 59, 500_000, tzinfo=UTC)


def test_what_the_key_had_more_than_is_kept_is_counted() -> None:
    kept = {"models": ["a", "b"], "more_models": 7, "networks": ["10.0.0.0/8"], "more_networks": 1_234}
    checks = explain(record("model_not_found", model="c", **kept)).checks
    assert ("the key may use", "a, b and 7 more") in checks[7].saw
    assert ("allowed", "10.0.0.0/8 and 1,234 more") in checks[5].saw


def test_a_balance_tells_all_that_it_is_made_of() -> None:
    seen = {"balance": "100000000", "overdraft": "50000000", "held": "120000000"}
    saw = dict(explain(record("insufficient_balance", organization=seen, hold_nanos=40_000_000)).checks[9].saw)
    assert saw == {
        "may cost": "$0.04",
        "balance": "$0.10",
        "overdraft allowed": "$0.05",
        "held by running requests": "$0.12",
        "spendable": "$0.03",
    }


def test_what_was_spent_in_another_window_does_not_count() -> None:
    key = {"budget_day": "100", "spent_day": "90", "day": "2028-02-28", "budget_total": "900", "spent_total": "300"}
    saw = dict(explain(record("budget_exhausted", api_key=key, counters={"key.held": "7"})).checks[8].saw)
    assert saw["today"] == "$0.00 spent and $0.000000007 held of $0.0000001"
    assert saw["in all"] == "$0.0000003 spent and $0.000000007 held of $0.0000009"


def test_what_was_looked_up_is_told_where_it_passed_too() -> None:
    organization = {"suspended": "0", "version": "3"}
    told = explain(record("insufficient_balance", api_key={"revoked": "1", "version": "7"}, organization=organization))
    assert told.checks[2].saw == [("revoked", "yes"), ("the key's record", "version 7")]
    assert told.checks[4].saw == [("suspended", "no"), ("the organization's record", "version 3")]
