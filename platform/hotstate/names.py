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


def digest_index(digest: str) -> str:
    """A secret's digest → `org key`, so that a gateway finds the record without PostgreSQL."""
    return f"km:digest:{digest}"
