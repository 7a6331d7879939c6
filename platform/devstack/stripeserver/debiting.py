"""What becomes of a debit from a bank account, a moment after Checkout was done."""

from devstack.stripeserver.account import Account
from devstack.stripeserver.checking_out import session_of
from devstack.stripeserver.declining import remember_failure
from devstack.stripeserver.methods import card_error, card_of
from devstack.stripeserver.objects.charge import failed
from devstack.stripeserver.paying import arrive


def finish(account: Account, name: str) -> None:
    """On the agenda: the payment arrives or fails, and its session says so."""
    intent = account.store.get(name)
    if intent is None or intent["status"] != "processing":
        return
    refused = card_of(account, account.find("payment_method", intent["payment_method"])).charged
    if refused:
        charge = account.find("charge", intent["latest_charge"])
        charge.update(failed(charge, refused))
        account.announce("charge.failed", charge)
        remember_failure(account, intent, card_error(refused, charge=charge["id"]))
    else:
        arrive(account, intent)
    if session := session_of(account, intent):
        session["payment_status"] = "unpaid" if refused else "paid"
        account.announce(f"checkout.session.async_payment_{'failed' if refused else 'succeeded'}", session)
