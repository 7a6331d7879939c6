"""A charge: one attempt to take money, made by a PaymentIntent."""

from devstack.stripeserver.cards import Decline
from devstack.stripeserver.objects.payment_method import payment_method_details
from devstack.stripeserver.store import Json

TAKEN: Json = {
    "advice_code": None,
    "network_advice_code": None,
    "network_decline_code": None,
    "network_status": "approved_by_network",
    "reason": None,
    "risk_level": "normal",
    "risk_score": 20,
    "seller_message": "Payment complete.",
    "type": "authorized",
}


def charge(name: str, now: int, intent: Json, method: Json, receipt_url: str, *, authenticated: bool) -> Json:
    """A successful one that isn't captured yet."""
    amount = intent["amount"]
    return {
        "id": name,
        "object": "charge",
        "amount": amount,
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "LOCAL STRIPE",
        "captured": False,
        "created": now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": dict(TAKEN),
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": payment_method_details(method, amount, authenticated=authenticated),
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": receipt_url,
        "refunded": False,
        "refunds": None,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def failed(taken: Json, why: Decline) -> Json:
    """The same charge, declined."""
    outcome = {
        "advice_code": why.advice,
        "network_status": "declined_by_network",
        "network_decline_code": "01",
        "reason": why.decline_code,
        "seller_message": f"The bank returned the decline code `{why.decline_code}`.",
        "type": "issuer_declined",
    }
    return taken | {
        "failure_code": why.code,
        "failure_message": why.message,
        "outcome": taken["outcome"] | outcome,
        "paid": False,
        "receipt_url": None,
        "status": "failed",
    }
