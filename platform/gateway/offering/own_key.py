"""GET /v1/key: what a key may do, and how much of its limits and budgets is left."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import asdict

from gateway.deciding.decision import LimitState
from gateway.deciding.keyring import Identity
from hotstate.standing import AT_ONCE, Standing

KEY_PATH = "/key"


def describe_key(identity: Identity, limits: Iterable[LimitState], standing: Standing) -> dict[str, Any]:
    """The key about itself. Amounts are nano-dollars."""
    record = identity.record
    spent, held_nanos = standing.spent or {}, standing.held_nanos
    budgets = [
        {
            "window": window,
            "limit_nanos": limit,
            "spent_nanos": spent.get(window, 0),
            "held_nanos": held_nanos,
            "left_nanos": max(0, limit - spent.get(window, 0) - held_nanos),
        }
        for window, limit in asdict(record.budgets).items()
        if limit is not None
    ]
    return {
        "object": "key",
        "id": record.key,
        "organization": record.org,
        "scopes": sorted(record.scopes),
        "models": sorted(record.models),
        "networks": sorted(record.networks),
        "expires_at": moment(record.expires_ms),
        "secret": identity.secret_id,
        "secret_expires_at": moment(record.secrets[identity.digest][1]),
        "limits": [*described_limits(limits), *_at_once(standing)],
        "concurrent_requests": record.limits.concurrent_requests,
        "budgets": budgets,
    }


def _at_once(standing: Standing) -> list[dict[str, Any]]:
    """What is left comes back as requests end, and nobody knows when."""
    return [
        {"name": f"{who}.{AT_ONCE}", "limit": it.most, "left": max(0, it.most - it.used), "back_ms": None}
        for who, rates in (("key", standing.key_rates), ("organization", standing.organization_rates))
        for it in rates
        if it.name == AT_ONCE
    ]


def described_limits(limits: Iterable[LimitState]) -> list[dict[str, Any]]:
    """What is left of each limit, and in how many milliseconds all of it is back."""
    return [{"name": it.name, "limit": it.most, "left": it.left, "back_ms": it.back_ms} for it in limits]


def moment(milliseconds: int | None) -> str | None:
    """Unix milliseconds as RFC 3339, UTC."""
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
