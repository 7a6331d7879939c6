"""The worked examples of docs/pricing.md come to what they say."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from billing.off_peak import off_peak
from billing.rate_card import RateCard, Timeline
from billing.rating import charge
from billing.tariff import Tariff, UnitPrice
from hotstate.records import Terms

DOCUMENT = (Path(__file__).parents[2] / "docs" / "pricing.md").read_text()
EXAMPLES: list[dict[str, Any]] = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MODEL, PLAN = 1, 7


def timeline(prices: dict[str, list[int]], windows: list[Any]) -> Timeline:
    named = []
    for place, (amount, per) in prices.items():
        before, _, variant = place.partition(" of ")
        meter, _, tier = before.partition(" from ")
        named.append(UnitPrice(meter, amount, per, int(tier or 0), variant))
    return Timeline([LONG_AGO], [Tariff(1, named, off_peak(windows))])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["charge_nanos"]))
def test_an_example_is_right(example: dict[str, Any]) -> None:
    lists: dict[int | None, Timeline] = {None: timeline(example["prices"], example.get("off_peak", []))}
    plan = None
    if "plan_prices" in example:
        plan, lists[PLAN] = PLAN, timeline(example["plan_prices"], [])
    at = datetime.fromisoformat(example.get("at", "2026-11-17T12:00:00Z"))
    terms = Terms(effective_ms=0, plan_list=plan, **example.get("terms", {}))
    priced = RateCard({MODEL: lists}).tariff(MODEL, at, terms)
    assert priced
    assert priced.multipliers == example.get("multipliers", [])
    nanos = charge(example["usage"], priced.tariff, priced.multipliers, example.get("variant", ""))
    assert nanos == example["charge_nanos"]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6
