"""`/api/v1/requests/<id>`: what a request cost, and why: meters × prices × multipliers, down to the ledger."""

from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.scopes import USAGE_READ
from api import errors
from api.key_body import dollars, moment
from api.management import ManagementView, organization_of
from billing.models import EventCorrection, LedgerTransaction, UsageEvent
from billing.receipts import Line, Receipt, receipt
from hotstate import holds


class RequestView(ManagementView):
    reading = USAGE_READ

    def get(self, request: Request, request_id: UUID) -> Response:
        """Raises Unreachable where the books don't have it, and nobody can tell whether they will."""
        organization = organization_of(request)
        try:
            return Response(_described(receipt(organization, request_id)))
        except UsageEvent.DoesNotExist:
            held = holds.find(organization.public_id, str(request_id))
        raise errors.NOT_POSTED_YET if held else errors.NO_SUCH_REQUEST


def _described(found: Receipt) -> dict[str, Any]:
    event: Any = found.event
    version, posted = found.version, found.transaction
    return {
        "object": "request",
        "id": str(event.id),
        "time": moment(event.time),
        "key": event.api_key.public_id,
        "model": event.model.public_id,
        "endpoint": event.endpoint,
        "stream": event.stream,
        "status": event.status,
        "outcome": event.outcome,
        "reason": event.reason,
        "estimated": event.estimated,
        "duration_ms": event.duration_ms,
        "ttft_ms": event.ttft_ms,
        "attempts": event.attempts,
        "usage": event.usage,
        "variant": event.variant,
        "lines": [_line(line) for line in found.lines],
        "multipliers": [{"reason": reason, "basis_points": points} for reason, points in found.multipliers],
        "exact_nanos": str(found.exact_nanos),
        "rounding_nanos": str(found.rounding_nanos),
        "charge_nanos": event.charge_nanos,
        "charge": dollars(event.charge_nanos),
        "corrections": [_correction(correction) for correction in found.corrections],
        "charge_now_nanos": found.charge_now_nanos,
        "charge_now": dollars(found.charge_now_nanos),
        "kind": event.kind,
        "price_version": version and {"id": version.pk, "effective_from": moment(version.effective_from)},
        "ledger_transaction": _transaction(posted),
    }


def _transaction(posted: LedgerTransaction | None) -> dict[str, Any] | None:
    if posted is None:
        return None
    return {"id": posted.pk, "operation_key": posted.operation_key, "posted_at": moment(posted.posted_at)}


def _correction(corrected: EventCorrection) -> dict[str, Any]:
    return {
        "made_at": moment(corrected.correction.made_at),
        "reason": corrected.correction.reason,
        "outcome": corrected.outcome or None,
        "usage": corrected.usage,
        "price_version": corrected.price_version_id,
        "old_charge": dollars(corrected.old_charge_nanos),
        "new_charge": dollars(corrected.new_charge_nanos),
        "ledger_transaction": _transaction(corrected.transaction),
    }


def _line(line: Line) -> dict[str, Any]:
    """`exact_nanos` is before multipliers: a whole number, or a fraction such as `200/3`."""
    price = line.price
    return {
        "meter": line.meter,
        "units": line.units,
        "priced_as": price and price.meter,
        "unit_price": price and dollars(price.amount_nanos),
        "per_units": price and price.per_units,
        "from_input_tokens": price and price.from_input_tokens,
        "variant": price and price.variant,
        "exact_nanos": str(line.nanos),
    }
