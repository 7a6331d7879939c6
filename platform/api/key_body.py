"""An API key as JSON: what may be sent, and what is told. The members are those of a file that imports keys."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import asdict

from accounts.key_terms import (
    LARGEST_LIMIT,
    MOST_LISTED,
    NANOS,
    KeyTerms,
    NotABudget,
    NotAModelPattern,
    NotANetwork,
    NotAnExpiry,
    budget_nanos,
    expiry,
    model_pattern,
    network,
)
from accounts.models import ApiKey
from gateway.asking.endpoints import ALL_SCOPES
from gateway.errors import bad_request
from hotstate.records import Budgets, Limits

LONGEST_OVERLAP = 30 * 86_400
T = TypeVar("T", bound=msgspec.Struct)
Texts = Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=MOST_LISTED)]
Limit = Annotated[int, Meta(ge=1, le=LARGEST_LIMIT)] | UnsetType | None
Budget = str | UnsetType | None


class Terms(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a key may do; what isn't sent stays as it is. Null is none: no limit, no budget, no expiry."""

    name: Annotated[str, Meta(max_length=80)] | UnsetType = UNSET
    scopes: Texts | UnsetType = UNSET
    models: Texts | UnsetType = UNSET
    networks: Texts | UnsetType = UNSET
    expires_at: Annotated[datetime, Meta(tz=True)] | UnsetType | None = UNSET
    requests_per_minute: Limit = UNSET
    tokens_per_minute: Limit = UNSET
    requests_per_day: Limit = UNSET
    concurrent_requests: Limit = UNSET
    budget_day: Budget = UNSET
    budget_week: Budget = UNSET
    budget_month: Budget = UNSET
    budget_total: Budget = UNSET


class Change(Terms):
    """`version` is the one that was read: with another meanwhile, nothing is changed."""

    version: Annotated[int, Meta(ge=1, le=2**62)] | None = None


class Rotate(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`replacing` is the id of the secret that was read as the current one."""

    replacing: str
    overlap_seconds: Annotated[int, Meta(ge=0, le=LONGEST_OVERLAP)] = 86_400


class Revoke(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=300)] = ""


NEW = KeyTerms(name="", scopes=[], allowed_models=[], allowed_networks=[], expires_at=None)


def read(kind: type[T], body: bytes) -> T:
    """The body as an object of that kind; an empty one has no members. Raises ApiError."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        said = str(error)
        member = re.search(r"`\$\.(\w+)", said) or re.search(r"field `(\w+)`", said)
        raise bad_request(f"{said}.", param=member[1] if member else None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad_request("The body of your request is no JSON object.") from None


def terms_of(sent: Terms, old: KeyTerms, now: datetime) -> KeyTerms:
    """The old terms with what was sent in their place. Raises ApiError."""
    name = _name(sent.name) if sent.name is not UNSET else old.name
    scopes = _scopes(sent.scopes, old) if sent.scopes is not UNSET else old.scopes
    expires_at = _expiry(sent.expires_at, now) if sent.expires_at is not UNSET else old.expires_at
    return KeyTerms(
        name=name,
        scopes=scopes,
        allowed_models=_each(sent.models, "models", model_pattern, old.allowed_models),
        allowed_networks=_each(sent.networks, "networks", network, old.allowed_networks),
        expires_at=expires_at,
        limits=Limits(**{name: _or(getattr(sent, name), most) for name, most in asdict(old.limits).items()}),
        budgets=Budgets(**{window: _budget(sent, window, most) for window, most in asdict(old.budgets).items()}),
    )


def described(key: ApiKey, now: datetime) -> dict[str, Any]:
    """The key as it is told. `organization` and `secrets` should be there already."""
    secrets = [secret for secret in key.secrets.all() if secret.lapses_at is None or secret.lapses_at > now]
    return {
        "object": "key",
        "id": key.public_id,
        "organization": key.organization.public_id,
        "name": key.name,
        "state": key.state(now),
        "scopes": key.scopes,
        "models": key.allowed_models,
        "networks": key.allowed_networks,
        "created_at": moment(key.created_at),
        "expires_at": moment(key.expires_at),
        "revoked_at": moment(key.revoked_at),
        "version": key.version,
        "in_force": key.in_force,
        "in_force_at": moment(key.published_at) if key.in_force else None,
        **asdict(key.limits),
        **{f"budget_{window}": dollars(nanos) for window, nanos in asdict(key.budgets).items()},
        "secrets": [
            {
                "id": secret.public_id,
                "hint": secret.hint,
                "created_at": moment(secret.created_at),
                "expires_at": moment(secret.lapses_at),
            }
            for secret in sorted(secrets, key=lambda secret: secret.pk, reverse=True)
        ],
    }


def moment(at: datetime | None) -> str | None:
    """RFC 3339, UTC, to the millisecond."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dollars(nanos: int | None) -> str | None:
    """Decimal dollars, all nine decimals."""
    if nanos is None:
        return None
    whole, rest = divmod(abs(nanos), NANOS)
    return f"{'-' if nanos < 0 else ''}{whole}.{rest:09d}"


def _name(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise bad_request("`name` is empty, or has characters that can't be shown.", param="name")
    return name.strip()


def _scopes(scopes: list[str], old: KeyTerms) -> list[str]:
    if not scopes:
        raise bad_request("`scopes` is empty, so the key could do nothing: name some.", param="scopes")
    unknown = sorted(set(scopes) - set(ALL_SCOPES) - set(old.scopes))
    if unknown:
        known = ", ".join(ALL_SCOPES)
        raise bad_request(f"There is no scope {unknown[0][:40]!a}; scopes are {known}.", param="scopes")
    return sorted(set(scopes))


def _expiry(expires_at: datetime | None, now: datetime) -> datetime | None:
    try:
        return expires_at and expiry(expires_at, now)
    except NotAnExpiry as error:
        message = f"{error} To end a key now, revoke it; send null for a key that never expires."
        raise bad_request(message, param="expires_at") from None


def _each(sent: list[str] | UnsetType, param: str, read_one: Any, old: list[str]) -> list[str]:
    if sent is UNSET:
        return old
    try:
        return sorted({read_one(text) for text in sent})
    except (NotAModelPattern, NotANetwork) as error:
        raise bad_request(str(error), param=param) from None


def _budget(sent: Terms, window: str, old: int | None) -> int | None:
    told = getattr(sent, f"budget_{window}")
    if told is UNSET or told is None:
        return _or(told, old)
    try:
        return budget_nanos(told)
    except NotABudget as error:
        raise bad_request(f"`budget_{window}` {error}", param=f"budget_{window}") from None


def _or(sent: int | UnsetType | None, old: int | None) -> int | None:
    return old if sent is UNSET else sent
