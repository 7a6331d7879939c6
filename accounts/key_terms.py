"""What a key may do, as people set it; a network in the one spelling in which it is kept."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from msgspec.structs import asdict

from hotstate.publish import LARGEST_NANOS
from hotstate.records import Budgets, Limits

LAST_YEAR = 2200
LARGEST_LIMIT = 10**12
# So many models, and as many networks: the inference path looks through them with each request.
MOST_LISTED = 100
NANOS = 10**9
_AMOUNT = re.compile(r"\d{1,10}(\.\d{1,9})?", re.ASCII)
_MODEL_PATTERN = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._:/@+*-]{0,199}")
NO_LIMITS, NO_BUDGETS = Limits(), Budgets()


@dataclass(frozen=True, kw_only=True)
class KeyTerms:
    """All of what may change in a key's life. Empty models or networks mean every one; budgets are nano-dollars."""

    name: str
    scopes: list[str]
    allowed_models: list[str]
    allowed_networks: list[str]
    expires_at: datetime | None
    limits: Limits = NO_LIMITS
    budgets: Budgets = NO_BUDGETS

    def columns(self) -> dict[str, Any]:
        """The columns of `ApiKey` that keep them."""
        return {
            "name": self.name,
            "scopes": sorted(set(self.scopes)),
            "allowed_models": sorted(set(self.allowed_models)),
            "allowed_networks": sorted(set(self.allowed_networks)),
            "expires_at": self.expires_at,
            **asdict(self.limits),
            **{f"budget_{window}_nanos": nanos for window, nanos in asdict(self.budgets).items()},
        }


class NotAModelPattern(ValueError):
    """The text is no model id, with stars or without; the message says so."""


def model_pattern(text: str) -> str:
    """A model id, perhaps with stars. Raises NotAModelPattern."""
    if not _MODEL_PATTERN.fullmatch(text):
        raise NotAModelPattern(
            f"“{text[:60]}” is no model id or pattern: letters, digits, . _ : / @ + - and *, at most 200."
        )
    return text


class NotABudget(ValueError):
    """The text is no amount that a budget can have; the message says what is."""


def budget_nanos(told: str | int) -> int:
    """Decimal dollars such as `12.50` → nano-dollars. Raises NotABudget."""
    text = str(told)
    nanos = int(Decimal(text) * NANOS) if _AMOUNT.fullmatch(text) else 0
    if not 0 < nanos <= LARGEST_NANOS:
        raise NotABudget(f"has to be dollars such as 12.50, more than 0 and at most {LARGEST_NANOS // NANOS}.")
    return nanos


class NotAnExpiry(ValueError):
    """The moment can't be a key's last; the message says why."""


def expiry(at: datetime, now: datetime) -> datetime:
    """A moment of any zone, in UTC. Raises NotAnExpiry."""
    if at <= now:
        raise NotAnExpiry("`expires_at` is past.")
    # Some zones can't be kept, and the last year of all in some can't be converted.
    if at >= datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC):
        raise NotAnExpiry(f"`expires_at` is after {LAST_YEAR}.")
    return at.astimezone(UTC)


class NotANetwork(ValueError):
    """The text is neither an address nor a CIDR; the message says so."""


def network(text: str) -> str:
    """An address or CIDR of IPv4 or IPv6 as it is kept: `203.0.113.7/32`, `2001:db8::/32`. Raises NotANetwork.

    Bits beyond the prefix are cut. IPv4 written as IPv6 becomes IPv4: as that it is compared.
    """
    typed = text.strip()
    try:
        if "%" in typed:
            raise ValueError("a zone means something on one machine only")
        found: IPv4Network | IPv6Network = ip_network(typed, strict=False)
    except ValueError:
        example = "203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"
        raise NotANetwork(f"“{typed[:60]}” is neither an address nor a network, such as {example}.") from None
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped and found.prefixlen >= 96:
        found = IPv4Network((mapped, found.prefixlen - 96))
    return str(found)
