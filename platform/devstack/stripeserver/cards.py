"""Test cards, as Stripe documents them: what each does when it is saved, charged, refunded or disputed."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Decline:
    """Why an issuer says no, in Stripe's codes."""

    code: str
    decline_code: str
    message: str
    advice: str = "try_again_later"


@dataclass(frozen=True)
class Card:
    """`saved` and `charged` are what the issuer says to each (None: yes). `authentication` is `never`, `always`,
    `unless_set_up` (once, when it is saved or first paid with) or `on_session` (set up elsewhere: not off session)."""

    number: str
    method: str
    what: str
    brand: str = "visa"
    funding: str = "credit"
    saved: Decline | None = None
    charged: Decline | None = None
    authentication: str = "never"
    dispute: str | None = None
    inquiry: bool = False
    kind: str = "card"
    refund: str = "succeeded"

    @property
    def last4(self) -> str:
        return self.number[-4:]

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.number.encode()).hexdigest()[:16]

    @property
    def spaced(self) -> str:
        return " ".join(self.number[place : place + 4] for place in range(0, len(self.number), 4))


def _declined(reason: str, message: str = "Your card was declined.", advice: str = "try_again_later") -> Decline:
    return Decline("card_declined", reason, message, advice)


GENERIC = _declined("generic_decline")
FUNDS = _declined("insufficient_funds", "Your card has insufficient funds.")
LOST = _declined("lost_card", advice="do_not_try_again")
STOLEN = _declined("stolen_card", advice="do_not_try_again")
EXPIRED = Decline("expired_card", "expired_card", "Your card has expired.", "do_not_try_again")
CVC = Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.", "confirm_card_data")
PROCESSING = Decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
)
AUTHENTICATION = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
NOT_A_TEST_CARD = _declined(
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test card. "
    "For a list of valid test cards, visit: https://stripe.com/docs/testing.",
)


def _refuses(number: str, method: str, what: str, why: Decline) -> Card:
    return Card(number, method, what, saved=why, charged=why)


CARDS = (
    Card("4242424242424242", "pm_card_visa", "pays"),
    Card("4000056655665556", "pm_card_visa_debit", "pays", funding="debit"),
    Card("5555555555554444", "pm_card_mastercard", "pays", brand="mastercard"),
    Card("378282246310005", "pm_card_amex", "pays (its CVC has four digits)", brand="amex"),
    _refuses("4000000000000002", "pm_card_visa_chargeDeclined", "declined", GENERIC),
    _refuses("4000000000009995", "pm_card_visa_chargeDeclinedInsufficientFunds", "declined: insufficient funds", FUNDS),
    _refuses("4000000000009987", "pm_card_visa_chargeDeclinedLostCard", "declined: lost", LOST),
    _refuses("4000000000009979", "pm_card_visa_chargeDeclinedStolenCard", "declined: stolen", STOLEN),
    _refuses("4000000000000069", "pm_card_chargeDeclinedExpiredCard", "declined: expired", EXPIRED),
    _refuses("4000000000000127", "pm_card_chargeDeclinedIncorrectCvc", "declined: wrong CVC", CVC),
    _refuses("4000000000000119", "pm_card_chargeDeclinedProcessingError", "declined: processing error", PROCESSING),
    Card("4000000000000341", "pm_card_chargeCustomerFail", "can be saved, then declines", charged=GENERIC),
    Card("4000002760003184", "pm_card_authenticationRequired", "authenticates each time", authentication="always"),
    Card(
        "4000002500003155",
        "pm_card_authenticationRequiredOnSetup",
        "authenticates once, when it is saved",
        authentication="unless_set_up",
    ),
    Card(
        "4000003800000446",
        "pm_card_authenticationRequiredSetupForOffSession",
        "authenticates, but not off session",
        authentication="on_session",
    ),
    Card(
        "4000008260003178",
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        "authenticates, then declines: insufficient funds",
        charged=FUNDS,
        authentication="always",
    ),
    Card("4000000000000259", "pm_card_createDispute", "pays, disputed as fraudulent", dispute="fraudulent"),
    Card(
        "4000000000002685",
        "pm_card_createDisputeProductNotReceived",
        "pays, disputed as not received",
        dispute="product_not_received",
    ),
    Card(
        "4000000000001976", "pm_card_createDisputeInquiry", "pays, then an inquiry", dispute="fraudulent", inquiry=True
    ),
    Card("4000000000007726", "pm_card_pendingRefund", "pays; refunds are pending at first", refund="pending"),
    Card("4000000000005126", "pm_card_refundFail", "pays; refunds fail a moment later", refund="failed"),
)


def _bank(number: str, method: str, what: str, refused: Decline | None = None) -> Card:
    return Card(number, method, what, brand="", funding="", charged=refused, kind="us_bank_account")


ROUTING_NUMBER = "110000000"
CLOSED = Decline("payment_intent_payment_attempt_failed", "account_closed", "The customer's bank account is closed.")
EMPTY = Decline("payment_intent_payment_attempt_failed", "insufficient_funds", "The account has insufficient funds.")
BANK_ACCOUNTS = (
    _bank("000123456789", "pm_usBankAccount_success", "pays a moment later"),
    _bank("000111111113", "pm_usBankAccount_accountClosed", "fails a moment later: closed", CLOSED),
    _bank("000222222227", "pm_usBankAccount_insufficientFunds", "fails a moment later: insufficient funds", EMPTY),
)
BY_NUMBER = {each.number: each for each in (*CARDS, *BANK_ACCOUNTS)}
BY_METHOD = {each.method: each for each in CARDS}


def luhn(number: str) -> bool:
    """Whether the check digit is right."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
