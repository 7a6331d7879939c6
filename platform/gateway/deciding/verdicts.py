"""Every answer that a decision can have: a closed set, in the order in which refusals are looked for."""

from enum import StrEnum


class Verdict(StrEnum):
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    SCOPE_MISSING = "scope_missing"
    MODEL_NOT_FOUND = "model_not_found"
    BUDGET_EXHAUSTED = "budget_exhausted"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    RATE_LIMITED = "rate_limited"
    CONCURRENCY_LIMITED = "concurrency_limited"
    ALLOWED = "allowed"
