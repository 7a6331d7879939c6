"""Refunds: money back, at once, a moment later, or not after all."""

from devstack.stripeserver import books
from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.problems import invalid
from devstack.stripeserver.methods import card_of
from devstack.stripeserver.objects.refund import refund as new_refund
from devstack.stripeserver.store import Json


def refund(account: Account, charge: Json, amount: int | None, reason: str | None, metadata: dict[str, str]) -> Json:
    """Give back an amount, or all that is left. Raises a Problem where it can't be."""
    left = charge["amount"] - charge["amount_refunded"]
    amount = left if amount is None else amount
    _check(account, charge, amount, left)
    books.settle(account, charge)
    outcome = card_of(account, account.find("payment_method", charge["payment_method"])).refund
    status = "pending" if outcome == "pending" else "succeeded"
    made = new_refund(new_id("re"), account.now(), charge, amount, reason=reason, metadata=metadata, status=status)
    account.store.keep(made)
    entry = books.enter(account, made, "refund", -amount, 0, f"REFUND FOR CHARGE ({charge['id']})", "refund")
    made["balance_transaction"] = entry["id"]
    if outcome != "succeeded":
        account.later(f"refund_{outcome}", made["id"])
    account.announce("refund.created", made)
    _add(account, charge, amount)
    return made


def succeed(account: Account, name: str) -> None:
    """A pending refund arrived."""
    if (made := account.store.get(name)) and made["status"] == "pending":
        account.change(made, "refund.updated", status="succeeded")
        account.announce("charge.refund.updated", made)


def fail(account: Account, name: str) -> None:
    """The bank sent the money back: the charge counts as not refunded by so much."""
    made = account.store.get(name)
    if not made or made["status"] == "failed":
        return
    description = f"REFUND FAILURE FOR CHARGE ({made['charge']})"
    entry = books.enter(account, made, "refund_failure", made["amount"], 0, description, "refund_failure")
    made |= {"failure_balance_transaction": entry["id"], "failure_reason": "expired_or_canceled_card"}
    account.change(made, "refund.failed", status="failed")
    account.announce("charge.refund.updated", made)
    charge = account.find("charge", made["charge"])
    charge.update(amount_refunded=charge["amount_refunded"] - made["amount"], refunded=False)


def _check(account: Account, charge: Json, amount: int, left: int) -> None:
    if not charge["captured"] or charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} has not been captured; it can't be refunded.", param="charge")
    if left == 0:
        raise invalid(f"Charge {charge['id']} has already been refunded.", "charge_already_refunded")
    if amount > left:
        text = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise invalid(text, param="amount")
    for dispute in account.store.newest("dispute"):
        if dispute["charge"] == charge["id"] and not dispute["is_charge_refundable"]:
            text = f"Charge {charge['id']} has been charged back; cannot issue a refund."
            raise invalid(text, "charge_disputed")


def _add(account: Account, charge: Json, amount: int) -> None:
    total = charge["amount_refunded"] + amount
    account.change(charge, "charge.refunded", amount_refunded=total, refunded=total == charge["amount"])
