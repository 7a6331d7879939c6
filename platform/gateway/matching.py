"""Does a key's rule fit? Networks and model patterns, parsed once per rule."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def in_networks(address: str | None, networks: frozenset[str]) -> bool:
    """Whether the address is in one of the CIDRs; an address that is unknown or malformed is in none."""
    parsed = _address(address or "")
    return parsed is not None and any(parsed in network for network in _networks(networks))


def model_allowed(model: str, patterns: frozenset[str]) -> bool:
    """Whether the id is one of these, or fits one with `*`. No pattern allows every model."""
    return not patterns or model in patterns or _expression(patterns).fullmatch(model) is not None


@lru_cache(4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket that listens on both gives IPv4 clients an IPv6 address.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(4096)
def _networks(networks: frozenset[str]) -> tuple[Network, ...]:
    return tuple(ip_network(network, strict=False) for network in networks)


@lru_cache(4096)
def _expression(patterns: frozenset[str]) -> re.Pattern[str]:
    wild = (_wild(pattern) for pattern in patterns if "*" in pattern)
    return re.compile("|".join(wild) or "(?!)", re.DOTALL)


def _wild(pattern: str) -> str:
    """Between two stars the first place that fits is as good as any: without going back, many stars cost no more."""
    first, *between, last = (re.escape(part) for part in pattern.split("*"))
    return first + "".join(f"(?>.*?{part})" for part in between) + ".*" + last
