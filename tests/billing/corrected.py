"""Usage that the tests of corrections correct."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from accounts.models import ApiKey
from billing import correcting
from billing.correcting import Rule, correct
from billing.correction_rules import by_rate_card
from billing.models import (
    Balance,
    DailyUsage,
    EventCorrection,
    HourlyUsage,
    LedgerEntry,
    Segment,
    UsageEvent,
)
from billing.partitions import ensure_partitions, first_id
from billing.posting import post_segment
from billing.rate_card import rate_card
from billing.standing import Scope
from billing.tariff import Tariff
from catalog.models import Model
from tests.cast import (
    DOLLAR,
    LONG_AGO,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
    raw,
)

DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
CHARGE = 1000 * 3_000 + 100 * 15_000
WHOLE_DAY = Scope(first_id(DAY), first_id(DAY + timedelta(days=1)))
DEARER = Tariff(0, {"input_tokens": (6_000, 1), "output_tokens": (15_000, 1)})


def by_prices(tariff: Tariff) -> Rule:
    return by_rate_card(rate_card().superseded(Model.objects.get().pk, tariff, LONG_AGO))


@pytest.fixture
def key() -> ApiKey:
    ensure_partitions(DAY)
    organization = make_organization()
    make_model()
    give_credit(organization, DOLLAR, now=NOON)
    return make_key(organization)[0]


def post(*lines: dict[str, object]) -> Segment:
    now = NOON + timedelta(hours=2)
    posted = post_segment(make_segment(raw(*lines), now=now).pk, now=now)
    assert posted
    return posted


def run(scope: Scope, rule: Any, **fields: Any) -> dict[int, correcting.Difference]:
    return correct(
        scope, rule, **{"what": "test", "reason": "a mistake", "actor": None, "clock": lambda: NOON, **fields}
    )


def balance(key: ApiKey) -> int:
    return Balance.objects.get(organization=key.organization).nanos


def books() -> dict[str, int]:
    """The sum of charges as each of the books has it."""
    entries = LedgerEntry.objects.filter(account="revenue").values_list("amount_nanos", flat=True)
    differences = [correction.difference_nanos for correction in EventCorrection.objects.all()]
    return {
        "events": sum(UsageEvent.objects.values_list("charge_nanos", flat=True)) + sum(differences),
        "hourly": sum(HourlyUsage.objects.values_list("charge_nanos", flat=True)),
        "daily": sum(DailyUsage.objects.values_list("charge_nanos", flat=True)),
        "ledger": sum(entries),
        "balances": DOLLAR - sum(Balance.objects.values_list("nanos", flat=True)),
    }
