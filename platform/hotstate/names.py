"""Names in Valkey. What belongs to an organization shares its hash tag, so that a cluster spreads organizations."""

CATALOG_VERSION = "km:catalog"
GATEWAYS_VERSION = "km:gateways"
ERA = "km:era"
ALL_LEASES = "km:{org_*}:leases"
ALL_HOLDS = "km:{org_*}:holds"
# Sets of organizations, so that nobody looks through all of Valkey: those with open holds, those with decisions.
HOLDING = "km:holding"
DECIDED = "km:decided"
LAPSED = "km:lapsed"


def decision_keys(org: str, key: str = "") -> list[str]:
    """The keys of every script about an organization: its hash, the API key's hash, holds, leases, counters."""
    tag = f"km:{{{org}}}"
    return [tag, f"{tag}:{key}", f"{tag}:holds", f"{tag}:leases", f"{tag}:counters"]


def organization_hash(org: str) -> str:
    return decision_keys(org)[0]


def key_hash(org: str, key: str) -> str:
    return decision_keys(org, key)[1]


def holds_of(org: str) -> str:
    """A hash: request id → its hold, as `lua/prelude.lua` has it."""
    return decision_keys(org)[2]


def leases_of(org: str) -> str:
    """A sorted set: request ids of open holds, by the Unix millisecond at which their lease ends."""
    return decision_keys(org)[3]


def counters_of(org: str) -> str:
    """A hash: what the API keys, and the organization as a whole, have used of their limits and hold."""
    return decision_keys(org)[4]


def digest_index(digest: str) -> str:
    """A secret's digest → `org key`, so that a gateway finds the record without PostgreSQL."""
    return f"km:digest:{digest}"
