"""When a payment or a setup fails: what is kept of it, and what the customer is told."""

import copy

from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.problems import Problem
from devstack.stripeserver.cards import Decline
from devstack.stripeserver.methods import card_error
from devstack.stripeserver.objects.charge import charge as new_charge
from devstack.stripeserver.objects.charge import failed
from devstack.stripeserver.store import Json

DECLINED_AUTHENTICATION = Decline(
    "payment_intent_authentication_failure",
    "",
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new "
    "PaymentMethod to attempt to fulfill this PaymentIntent again.",
)


def decline(account: Account, intent: Json, method: Json, why: Decline) -> Problem:
    """The issuer said no: a failed charge, and the error to raise."""
    name = new_id("ch")
    charge = failed(new_charge(name, account.now(), intent, method, "", authenticated=False), why)
    account.store.keep(charge)
    intent["latest_charge"] = name
    account.announce("charge.failed", charge)
    problem = card_error(why, charge=name, network_decline_code="01")
    remember_failure(account, intent, problem)
    return problem


def remember_failure(account: Account, intent: Json, problem: Problem) -> None:
    """The intent wants another payment method now; the error carries the intent as it is."""
    method = account.store.get(intent["payment_method"])
    error = problem.fields | {"payment_method": copy.deepcopy(method)}
    last, event = {
        "payment_intent": ("last_payment_error", "payment_intent.payment_failed"),
        "setup_intent": ("last_setup_error", "setup_intent.setup_failed"),
    }[intent["object"]]
    intent.update({last: error}, status="requires_payment_method", payment_method=None, next_action=None)
    account.announce(event, intent)
    problem.fields |= {"payment_method": copy.deepcopy(method), intent["object"]: copy.deepcopy(intent)}


def fail_authentication(account: Account, intent: Json) -> Problem:
    """The customer didn't pass: what to tell them."""
    problem = card_error(DECLINED_AUTHENTICATION)
    remember_failure(account, intent, problem)
    return problem
