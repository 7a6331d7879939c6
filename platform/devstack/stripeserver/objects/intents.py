"""PaymentIntent and SetupIntent."""

from devstack.stripeserver.store import Json

CARD_OPTIONS: Json = {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}


def payment_intent(name: str, now: int, secret: str, amount: int, currency: str) -> Json:
    return _both(name, now, secret) | {
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application_fee_amount": None,
        "canceled_at": None,
        "capture_method": "automatic_async",
        "confirmation_method": "automatic",
        "currency": currency,
        "last_payment_error": None,
        "payment_method_options": {"card": {"installments": None, **CARD_OPTIONS}},
        "latest_charge": None,
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "transfer_data": None,
        "transfer_group": None,
    }


def setup_intent(name: str, now: int, secret: str) -> Json:
    return _both(name, now, secret) | {
        "object": "setup_intent",
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "mandate": None,
        "payment_method_options": {"card": dict(CARD_OPTIONS)},
        "single_use_mandate": None,
        "usage": "off_session",
    }


def _both(name: str, now: int, secret: str) -> Json:
    return {
        "id": name,
        "allowed_payment_method_types": None,
        "application": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "cancellation_reason": None,
        "client_secret": f"{name}_secret_{secret}",
        "created": now,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
    }
