"""The account's balance and the transactions that change it."""

from typing import Any

from devstack.stripeserver.store import Json

FEE_NAMES = {"charge": "Stripe processing fees", "adjustment": "Dispute fee"}
DAYS_PENDING = 2


def balance_transaction(name: str, now: int, kind: str, amount: int, fee: int, **fields: Any) -> Json:
    """`fields` are currency, source, description and reporting_category. Amounts are in the smallest unit, signed."""
    details = {"application": None, "currency": fields["currency"], "type": "stripe_fee"}
    return {
        "id": name,
        "object": "balance_transaction",
        "amount": amount,
        "available_on": now + DAYS_PENDING * 24 * 3600,
        "balance_type": "payments",
        "created": now,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [details | {"amount": fee, "description": FEE_NAMES[kind]}] if fee else [],
        "net": amount - fee,
        "status": "pending",
        "type": kind,
        **fields,
    }


def balance(transactions: list[Json], now: int) -> Json:
    """What is there and what will be, by currency."""
    sums: dict[str, dict[str, int]] = {"available": {}, "pending": {}}
    for each in transactions:
        part = sums["available" if each["available_on"] <= now else "pending"]
        part[each["currency"]] = part.get(each["currency"], 0) + each["net"]

    def amounts(part: dict[str, int]) -> list[Json]:
        return [
            {"amount": amount, "currency": currency, "source_types": {"card": amount}}
            for currency, amount in sorted((part or {"usd": 0}).items())
        ]

    return {
        "object": "balance",
        "available": amounts(sums["available"]),
        "connect_reserved": [{"amount": 0, "currency": "usd"}],
        "livemode": False,
        "pending": amounts(sums["pending"]),
    }
