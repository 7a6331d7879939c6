"""Every answer that a decision can have: a closed set, in the order in which refusals are looked for."""

from enum import StrEnum


class Verdict(StrEnum):
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    SCOPE_MISSING = "scope_missing"
    MODEL_NOT_FOUND = "model_not_found"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    ALLOWED = "allowed"
