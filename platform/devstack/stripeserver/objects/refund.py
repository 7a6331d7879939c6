"""A refund of a charge or a part of it."""

from typing import Any

from devstack.stripeserver.store import Json


def refund(name: str, now: int, charge: Json, amount: int, **fields: Any) -> Json:
    """`fields` are reason, metadata and status."""
    return {
        "id": name,
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": now,
        "currency": charge["currency"],
        "destination_details": _destination(charge["payment_method_details"]["type"]),
        "payment_intent": charge["payment_intent"],
        "receipt_number": None,
        "source_transfer_reversal": None,
        "transfer_reversal": None,
        **fields,
    }


def _destination(kind: str) -> Json:
    if kind != "card":
        return {"type": "us_bank_transfer", "us_bank_transfer": {"reference": None, "reference_status": None}}
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}
    return {"card": card, "type": "card"}
