"""Money is exact, however large or small: bugs in numbers that peers shipped."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import Sum

from accounts.models import ApiKey
from billing import ledger
from billing.models import Account, Balance, DailyUsage, HourlyUsage, LedgerEntry, TransactionKind, UsageEvent
from billing.posting import post_segment
from hotstate.models import OutboxEntry
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_segment, raw, usage_line

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)


@pytest.fixture
def key() -> ApiKey:
    return make_key(make_organization())[0]


def balance(key: ApiKey) -> int:
    return Balance.objects.get(organization=key.organization).nanos


def charge(key: ApiKey, nanos: int, name: str) -> None:
    movement = ledger.Movement(
        operation_key=name,
        kind=TransactionKind.USAGE,
        organization_id=key.organization_id,
        nanos=-nanos,
        counter=Account.REVENUE,
        event_day=NOW.date(),
    )
    ledger.post([movement], now=NOW)


@pytest.mark.parametrize("nanos", [2**31, 2**32 + 1, 429_497 * DOLLAR // 100, 2**53 + 1, ledger.LARGEST_BALANCE])
def test_a_balance_beyond_32_bits(key: ApiKey, nanos: int) -> None:
    """new-api 6831: an int32 balance broke above $4,294.96."""
    give_credit(key.organization, nanos, now=NOW)
    assert balance(key) == nanos
    charge(key, nanos - 1, "almost all")
    assert balance(key) == 1
    charge(key, nanos, "more")
    assert balance(key) == 1 - nanos
    assert LedgerEntry.objects.filter(account="revenue").aggregate(sum=Sum("amount_nanos"))["sum"] == 2 * nanos - 1


def test_ten_thousand_small_charges_of_a_large_balance_do_not_drift(key: ApiKey) -> None:
    """otari 691: floats drifted. 2^53 + 1 is no double, and 0.1 + 0.2 isn't 0.3."""
    make_model(prices={"input_tokens": (1, 1), "output_tokens": (2, 10)})
    give_credit(key.organization, 2**53 + 1, now=NOW)
    lines = [
        usage_line(key, at=NOW, seq=seq, usage={"input_tokens": 1, "output_tokens": 10}) for seq in range(1, 10_001)
    ]
    assert post_segment(make_segment(raw(*lines)).pk, now=NOW + timedelta(seconds=5))
    assert balance(key) == 2**53 + 1 - 30_000
    told = b"".join(bytes(entry.record) for entry in OutboxEntry.objects.all())
    assert str(2**53 + 1).encode() in told
    assert str(2**53 + 1 - 30_000).encode() in told


def test_a_charge_is_rounded_once_and_every_sum_is_of_what_was_charged(key: ApiKey) -> None:
    """Lago 4641: two precisions drifted apart. Three times a third of a nano-dollar is nothing, everywhere.

    Of two thirds of different meters each would be nothing by itself; what is just less than a half would be a half,
    and so one, if it were rounded to ten places before.
    """
    make_model("thirds", prices={"input_tokens": (1, 3), "output_tokens": (1, 3)})
    make_model("halves", prices={"input_tokens": (24_999_999_999, 10**11), "output_tokens": (25 * 10**9, 10**11)})
    used = [
        ("thirds", {"input_tokens": 1}, 0),
        ("thirds", {"input_tokens": 1, "output_tokens": 1}, 1),
        ("thirds", {"input_tokens": 5}, 2),
        ("halves", {"input_tokens": 1, "output_tokens": 1}, 0),
    ] * 3
    lines = [usage_line(key, model, at=NOW, seq=seq, usage=usage) for seq, (model, usage, _) in enumerate(used, 1)]
    assert post_segment(make_segment(raw(*lines)).pk, now=NOW + timedelta(seconds=5))
    charges = list(UsageEvent.objects.order_by("seq").values_list("charge_nanos", flat=True))
    assert charges == [nanos for _, _, nanos in used]
    sums = {
        "events": UsageEvent.objects.aggregate(sum=Sum("charge_nanos"))["sum"],
        "hourly": HourlyUsage.objects.aggregate(sum=Sum("charge_nanos"))["sum"],
        "daily": DailyUsage.objects.aggregate(sum=Sum("charge_nanos"))["sum"],
        "ledger": LedgerEntry.objects.filter(account="revenue").aggregate(sum=Sum("amount_nanos"))["sum"],
        "balance": -balance(key),
    }
    assert sums == dict.fromkeys(sums, sum(charges))
