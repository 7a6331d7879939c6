"""Payment methods: made from test cards, saved with customers, removed."""

import re
from typing import Any

from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.problems import Problem, invalid, missing
from devstack.stripeserver.cards import BY_METHOD, BY_NUMBER, CVC, NOT_A_TEST_CARD, ROUTING_NUMBER, Card, Decline, luhn
from devstack.stripeserver.objects.payment_method import payment_method
from devstack.stripeserver.store import Json

REUSED = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a "
    "connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use "
    "a PaymentMethod multiple times, you must attach it to a Customer first."
)


def card_of(account: Account, method: Json) -> Card:
    return BY_NUMBER[account.private(method)["number"]]


def find_method(account: Account, name: str) -> Json:
    """The payment method of this id; `pm_card_visa` and the like make a new one each time."""
    if card := BY_METHOD.get(name):
        return keep_method(account, card, (12, account_year(account) + 8), {})
    found = account.store.get(name, "payment_method")
    if found is None:
        raise missing("PaymentMethod", name, "payment_method")
    return found


def make_method(account: Account, card: Json, billing: Json | None) -> Json:
    """From what somebody typed: number, exp_month, exp_year, cvc. Raises a Problem about what is wrong with it."""
    number = re.sub(r"[\s-]", "", card["number"])
    if not number.isdecimal() or not 12 <= len(number) <= 19 or not luhn(number):
        raise card_error(Decline("incorrect_number", "", "Your card number is incorrect."), param="number")
    known = BY_NUMBER.get(number)
    if known is None or known.kind != "card":
        raise card_error(NOT_A_TEST_CARD)
    month, year = card["exp_month"], card["exp_year"] + (2000 if card["exp_year"] < 100 else 0)
    if not 1 <= month <= 12:
        why = Decline("invalid_expiry_month", "", "Your card's expiration month is invalid.")
        raise card_error(why, param="exp_month")
    if not account_year(account) <= year <= account_year(account) + 50:
        why = Decline("invalid_expiry_year", "", "Your card's expiration year is invalid.")
        raise card_error(why, param="exp_year")
    if (cvc := card.get("cvc")) and not re.fullmatch(r"\d{4}" if known.brand == "amex" else r"\d{3}", cvc):
        why = Decline("invalid_cvc", "", "Your card's security code is invalid.")
        raise card_error(why, param="cvc")
    return keep_method(account, known, (month, year), billing or {})


def make_bank_account(account: Account, number: str, routing: str, billing: Json) -> Json:
    """From what somebody typed. Raises a Problem unless it is one of the test accounts."""
    known = BY_NUMBER.get(re.sub(r"[\s-]", "", number))
    if known is None or known.kind != "us_bank_account":
        text = "You must use a test bank account number when making transfers or debits in test mode. Try 000123456789."
        raise invalid(text, "account_number_invalid", "us_bank_account[account_number]")
    if re.sub(r"[\s-]", "", routing) != ROUTING_NUMBER:
        text = f"Invalid routing number. In test mode it is {ROUTING_NUMBER}."
        raise invalid(text, "routing_number_invalid", "us_bank_account[routing_number]")
    return keep_method(account, known, (0, 0), billing)


def keep_method(account: Account, card: Card, expiry: tuple[int, int], billing: Json) -> Json:
    made = payment_method(new_id("pm"), account.now(), card, expiry, billing)
    return account.store.keep(made, number=card.number)


def attach(account: Account, method: Json, customer: Json) -> None:
    """Save a card with a customer. Raises a Problem where the card or its past doesn't allow it."""
    if method["customer"] == customer["id"]:
        return
    if method["customer"]:
        raise invalid(
            "The payment method you provided has already been attached to a customer.", param="payment_method"
        )
    usable(account, method, None)
    if why := card_of(account, method).saved:
        raise card_error(why)
    account.change(method, "payment_method.attached", customer=customer["id"])


def detach(account: Account, method: Json) -> None:
    """Remove a card from its customer, for good."""
    if not method["customer"]:
        text = "The payment method you provided is not attached to a customer so detachment is impossible."
        raise invalid(text, param="payment_method")
    customer = account.store.get(method["customer"], "customer")
    account.private(method)["spent"] = True
    account.change(method, "payment_method.detached", customer=None)
    if customer and customer["invoice_settings"]["default_payment_method"] == method["id"]:
        make_default(account, customer, None)


def make_default(account: Account, customer: Json, method: Json | None) -> None:
    """Which card a customer's later payments take, or none."""
    if method and method["customer"] != customer["id"]:
        text = f"The customer does not have a payment method with the ID {method['id']}."
        raise invalid(text, "resource_missing", "invoice_settings[default_payment_method]")
    settings = customer["invoice_settings"] | {"default_payment_method": method["id"] if method else None}
    account.change(customer, "customer.updated", invoice_settings=settings)


def usable(account: Account, method: Json, customer: str | None) -> None:
    """Raises a Problem unless this customer (None: nobody in particular) may pay with it."""
    if account.private(method).get("spent"):
        raise invalid(REUSED, param="payment_method")
    if method["customer"] and not customer:
        text = "The payment method supplied belongs to a customer: give that customer too."
        raise invalid(text, param="payment_method")
    if method["customer"] and method["customer"] != customer:
        raise invalid(f"The payment method {method['id']} belongs to another customer.", param="payment_method")


def card_error(why: Decline, **fields: Any) -> Problem:
    """The issuer's no, or a mistyped card."""
    fields.setdefault("decline_code", why.decline_code or None)
    if why is CVC:
        fields.setdefault("param", "cvc")
    advice = why.advice if why.decline_code else None
    return Problem(402, "card_error", why.message, code=why.code, advice_code=advice, **fields)


def account_year(account: Account) -> int:
    return 1970 + account.now() // 31_556_952
