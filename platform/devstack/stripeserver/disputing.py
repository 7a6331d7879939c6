"""Disputes: opened by a test card or on demand, answered with evidence, won or lost."""

from devstack.stripeserver import books
from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.problems import invalid
from devstack.stripeserver.methods import card_of
from devstack.stripeserver.objects.dispute import dispute as new_dispute
from devstack.stripeserver.store import Json

OPEN = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")
OUTCOMES = {"winning_evidence": "won", "losing_evidence": "lost"}
"""Stripe's test texts, given as `evidence[uncategorized_text]`."""


def open_by_card(account: Account, name: str) -> None:
    """On the agenda: what the card that paid is for."""
    if charge := account.store.get(name):
        card = card_of(account, account.find("payment_method", charge["payment_method"]))
        if not charge["disputed"] and charge["amount"] > charge["amount_refunded"]:
            open_dispute(account, charge, card.dispute or "general", inquiry=card.inquiry)


def open_dispute(account: Account, charge: Json, reason: str, *, inquiry: bool = False) -> Json:
    """Of all that isn't refunded. An inquiry takes no money. Raises a Problem where nothing can be disputed."""
    left = charge["amount"] - charge["amount_refunded"]
    if charge["payment_method_details"]["type"] != "card":
        raise invalid("The local Stripe disputes payments by card only.")
    if charge["disputed"] or not charge["captured"] or left <= 0:
        raise invalid(f"Charge {charge['id']} can't be disputed: it already is, or nothing of it is left.")
    books.settle(account, charge)
    made = new_dispute(new_id("du"), account.now(), charge | {"amount": left}, reason, inquiry=inquiry)
    account.store.keep(made)
    account.change(charge, "charge.updated", disputed=True)
    if inquiry:
        account.announce("charge.dispute.created", made)
        return made
    _enter(account, made, -left, books.DISPUTE_FEE, "dispute")
    account.announce("charge.dispute.created", made)
    account.announce("charge.dispute.funds_withdrawn", made)
    return made


def answer(account: Account, made: Json, evidence: Json, *, submit: bool) -> None:
    """Evidence, which the bank looks at once it is submitted."""
    _still_open(made)
    made["evidence"] |= evidence
    made["evidence_details"]["has_evidence"] = any(made["evidence"][name] for name in evidence)
    if submit:
        made["evidence_details"] |= {"submission_count": made["evidence_details"]["submission_count"] + 1}
        made["evidence_details"]["submission_method"] = "manual"
        made["status"] = "warning_under_review" if made["status"].startswith("warning") else "under_review"
        account.later("decide_dispute", made["id"])
    account.announce("charge.dispute.updated", made)


def decide(account: Account, name: str) -> None:
    """On the agenda: the bank's decision, by the test text in the evidence."""
    if (made := account.store.get(name)) and made["status"] in OPEN:
        close(account, made, OUTCOMES.get(made["evidence"]["uncategorized_text"], "lost"))


def close(account: Account, made: Json, status: str) -> None:
    """`won` gives the money back (the fee stays). An inquiry just ends."""
    _still_open(made)
    if made["status"].startswith("warning"):
        account.change(made, "charge.dispute.closed", status="warning_closed")
        return
    if status == "won":
        _enter(account, made, made["amount"], 0, "dispute_reversal")
        made["is_charge_refundable"] = True
    account.change(made, "charge.dispute.closed", status=status)
    if status == "won":
        account.announce("charge.dispute.funds_reinstated", made)


def _enter(account: Account, made: Json, amount: int, fee: int, category: str) -> None:
    entry = books.enter(account, made, "adjustment", amount, fee, f"Chargeback for {made['charge']}", category)
    made["balance_transactions"] = [*made["balance_transactions"], entry]


def _still_open(made: Json) -> None:
    if made["status"] not in OPEN:
        raise invalid("This dispute is already closed")
