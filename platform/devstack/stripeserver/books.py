"""The account's balance transactions: what each charge, refund and dispute did to it, fees included."""

from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.objects.balance import balance_transaction
from devstack.stripeserver.store import Json

DISPUTE_FEE = 1500
ACTION = "settle"


def fee(amount: int) -> int:
    """2.9 % and 30 of the smallest unit, half up."""
    return (amount * 29 + 500) // 1000 + 30


def settle(account: Account, charge: Json) -> None:
    """Enter a captured charge. `automatic_async`, Stripe's default, does so a moment after the payment succeeded."""
    if charge["balance_transaction"] or not charge["captured"]:
        return
    taken = charge["amount_captured"]
    entry = enter(account, charge, "charge", taken, fee(taken), charge["description"], "charge")
    account.change(charge, "charge.updated", balance_transaction=entry["id"])


def settle_later(account: Account, name: str) -> None:
    """On the agenda."""
    if charge := account.store.get(name):
        settle(account, charge)


def enter(
    account: Account, source: Json, kind: str, amount: int, taken: int, description: str | None, category: str
) -> Json:
    """One balance transaction about `source`; `taken` is the fee. Amounts are signed."""
    return account.store.keep(
        balance_transaction(
            new_id("txn"),
            account.now(),
            kind,
            amount,
            taken,
            currency=source["currency"],
            source=source["id"],
            description=description,
            reporting_category=category,
        )
    )
