"""What happens when a SetupIntent is confirmed: a card is saved without paying."""

from devstack.stripeserver.account import Account
from devstack.stripeserver.declining import remember_failure
from devstack.stripeserver.methods import attach, card_error, card_of, usable
from devstack.stripeserver.paying import ask_to_authenticate
from devstack.stripeserver.store import Json


def attempt(account: Account, intent: Json, *, authenticated: bool = False) -> None:
    """Save the intent's payment method with its customer. Raises a Problem (402) where the card says no."""
    method = account.find("payment_method", intent["payment_method"], "payment_method")
    usable(account, method, intent["customer"])
    card = card_of(account, method)
    if card.saved:
        problem = card_error(card.saved)
        remember_failure(account, intent, problem)
        raise problem
    if card.authentication in ("always", "unless_set_up") and not authenticated:
        ask_to_authenticate(account, intent)
        return
    account.private(method)["set_up"] = True
    if intent["customer"]:
        attach(account, method, account.find("customer", intent["customer"]))
    intent.update(status="succeeded", next_action=None, last_setup_error=None)
    account.announce("setup_intent.succeeded", intent)
