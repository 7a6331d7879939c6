"""What happens when a PaymentIntent is confirmed: its card pays, declines, or asks the customer to authenticate."""

import copy

from devstack.stripeserver import books
from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.problems import Problem, invalid
from devstack.stripeserver.cards import AUTHENTICATION, Card
from devstack.stripeserver.declining import decline
from devstack.stripeserver.methods import attach, card_of, usable
from devstack.stripeserver.objects.charge import charge as new_charge
from devstack.stripeserver.store import Json


def attempt(account: Account, intent: Json, *, off_session: bool = False, authenticated: bool = False) -> None:
    """Try to take the intent's amount from its payment method. Raises a Problem (402) where the card says no."""
    method = account.find("payment_method", intent["payment_method"], "payment_method")
    usable(account, method, intent["customer"])
    card = card_of(account, method)
    if not authenticated and must_authenticate(account, card, method, off_session=off_session):
        if off_session:
            raise decline(account, intent, method, AUTHENTICATION)
        ask_to_authenticate(account, intent)
    elif card.kind != "card":
        _begin_debit(account, intent, method)
    elif card.charged:
        raise decline(account, intent, method, card.charged)
    else:
        _take(account, intent, method, authenticated=authenticated)


def must_authenticate(account: Account, card: Card, method: Json, *, off_session: bool) -> bool:
    """Off session, a card that was set up for it needs no authentication; on session it always does."""
    if card.authentication in ("never", "always"):
        return card.authentication == "always"
    return not off_session or (card.authentication == "unless_set_up" and not account.private(method).get("set_up"))


def ask_to_authenticate(account: Account, intent: Json) -> None:
    """Payment and setup intents: the customer has to go to the bank's page."""
    url = f"{account.address}/3ds/{intent['id']}/{account.private(intent)['secret']}"
    back = account.private(intent).get("return_url")
    if back:
        action: Json = {"type": "redirect_to_url", "redirect_to_url": {"return_url": back, "url": url}}
    else:
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url}}
    account.change(intent, f"{intent['object']}.requires_action", status="requires_action", next_action=action)


def capture(account: Account, intent: Json, amount: int | None) -> None:
    """Take what was only authorized, or a part of it; the rest is given free."""
    if intent["status"] != "requires_capture":
        raise _unexpected(intent, "captured", "requires_capture")
    amount = intent["amount_capturable"] if amount is None else amount
    if amount > intent["amount_capturable"]:
        text = f"The remaining amount that can be captured for this PaymentIntent is {intent['amount_capturable']}."
        raise invalid(text, "amount_too_large", "amount_to_capture")
    charge = account.find("charge", intent["latest_charge"])
    charge.update(captured=True, amount_captured=amount, amount_refunded=charge["amount"] - amount)
    account.announce("charge.captured", charge)
    _succeed(account, intent, charge, amount)


def cancel(account: Account, intent: Json, reason: str | None) -> None:
    """Give up an intent that isn't paid."""
    if intent["status"] in ("succeeded", "canceled", "processing"):
        wanted = "requires_payment_method, requires_capture, requires_confirmation, requires_action"
        raise _unexpected(intent, "canceled", wanted)
    if intent["status"] == "requires_capture":
        charge = account.find("charge", intent["latest_charge"])
        account.change(charge, "charge.refunded", refunded=True, amount_refunded=charge["amount"])
    moment = {"canceled_at": account.now(), "amount_capturable": 0} if intent["object"] == "payment_intent" else {}
    intent.update(status="canceled", cancellation_reason=reason, next_action=None, **moment)
    account.announce(f"{intent['object']}.canceled", intent)


def arrive(account: Account, intent: Json) -> None:
    """A debit came through: the charge that was pending is paid."""
    charge = account.find("charge", intent["latest_charge"])
    charge.update(status="succeeded", paid=True, captured=True, amount_captured=charge["amount"])
    account.announce("charge.succeeded", charge)
    _succeed(account, intent, charge, charge["amount"])


def _begin_debit(account: Account, intent: Json, method: Json) -> None:
    """From a bank account the money comes a moment later, or not."""
    charge = _charge(account, intent, method, authenticated=False)
    charge.update(status="pending", paid=False)
    account.announce("charge.pending", charge)
    intent["status"] = "processing"
    account.announce("payment_intent.processing", intent)
    account.later("debit", intent["id"])


def _take(account: Account, intent: Json, method: Json, *, authenticated: bool) -> None:
    charge = _charge(account, intent, method, authenticated=authenticated)
    if intent["capture_method"] == "manual":
        account.announce("charge.succeeded", charge)
        intent.update(status="requires_capture", amount_capturable=intent["amount"])
        account.announce("payment_intent.amount_capturable_updated", intent)
        return
    charge.update(captured=True, amount_captured=charge["amount"])
    account.announce("charge.succeeded", charge)
    _succeed(account, intent, charge, charge["amount"])


def _charge(account: Account, intent: Json, method: Json, *, authenticated: bool) -> Json:
    """A new one of this intent; its payment method is saved if that was wanted."""
    name = new_id("ch")
    receipt = f"{account.address}/receipts/{name}"
    charge = new_charge(name, account.now(), intent, method, receipt, authenticated=authenticated)
    account.store.keep(charge)
    account.private(method)["spent"] = method["customer"] is None and not intent["setup_future_usage"]
    intent.update(latest_charge=name, next_action=None, last_payment_error=None)
    if intent["setup_future_usage"] and intent["customer"]:
        account.private(method)["set_up"] = intent["setup_future_usage"] == "off_session"
        attach(account, method, account.find("customer", intent["customer"]))
    return charge


def _succeed(account: Account, intent: Json, charge: Json, amount: int) -> None:
    intent.update(status="succeeded", amount_received=amount, amount_capturable=0)
    account.announce("payment_intent.succeeded", intent)
    if intent["capture_method"] == "automatic_async":
        account.later("settle", charge["id"])
    else:
        books.settle(account, charge)
    if card_of(account, account.find("payment_method", charge["payment_method"])).dispute:
        account.later("dispute", charge["id"])


def _unexpected(intent: Json, done: str, wanted: str) -> Problem:
    name = "PaymentIntent" if intent["object"] == "payment_intent" else "SetupIntent"
    text = f"This {name} could not be {done} because it has a status of {intent['status']}. Only one of the following: "
    code = f"{intent['object']}_unexpected_state"
    problem = invalid(f"{text}{wanted}.", code)
    problem.fields[intent["object"]] = copy.deepcopy(intent)
    return problem
