"""Does a key's rule fit? Networks and model patterns, read once per rule: a request costs some microseconds of them."""

import socket
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

# No id has that sign.
NO_MODEL = frozenset({"!"})
# By the bits of an address: where ranges begin, in order, and the last address of each.
Ranges = dict[int, tuple[list[int], list[int]]]


def in_networks(address: str | None, networks: frozenset[str]) -> bool:
    """Whether the address is in one of the CIDRs; an address that is unknown or malformed is in none."""
    parsed = _address(address or "")
    if parsed is None:
        return False
    bits, number = parsed
    begins, ends = _ranges(networks)[bits]
    place = bisect_right(begins, number) - 1
    return place >= 0 and number <= ends[place]


def model_allowed(model: str, patterns: frozenset[str]) -> bool:
    """Whether the id is one of these, or fits one with `*`. No pattern allows every model."""
    if not patterns or model in patterns:
        return True
    return any(model.startswith(parts[0]) and _fits(model, parts) for parts in _wild(patterns))


def any_allowed(models: Iterable[str], patterns: frozenset[str]) -> bool:
    """Whether one of the names of a model is allowed."""
    return any(model_allowed(model, patterns) for model in models)


def common(first: frozenset[str], second: frozenset[str], models: Iterable[str]) -> frozenset[str]:
    """Patterns for what fits both: of two that only overlap, those of these models that fit them. Never empty where
    either isn't: no pattern would allow every model."""
    if not first or not second:
        return first or second
    within = {one for one in first if model_allowed(one, second)} | {one for one in second if model_allowed(one, first)}
    narrower = frozenset(within)
    rest = {one for one in models if not narrower or not model_allowed(one, narrower)}
    return narrower.union(one for one in rest if model_allowed(one, first) and model_allowed(one, second)) or NO_MODEL


@lru_cache(4096)
def _address(text: str) -> tuple[int, int] | None:
    """How many bits it has, and the address as a number."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket that listens on both gives IPv4 clients an IPv6 address.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    found = mapped or address
    return found.max_prefixlen, int(found)


@lru_cache(4096)
def _ranges(networks: frozenset[str]) -> Ranges:
    found: Ranges = {32: ([], []), 128: ([], [])}
    # Networks are apart, or one is within the other: the larger one comes first, and those within it add nothing.
    for bits, first, last in sorted(map(_range, networks), key=lambda one: (one[1], -one[2])):
        begins, ends = found[bits]
        if not ends or first > ends[-1]:
            begins.append(first)
            ends.append(last)
    return found


def _range(network: str) -> tuple[int, int, int]:
    """Bits, first and last address of a CIDR as `key_terms.network` spells it; ipaddress would take much longer."""
    text, _, prefix = network.partition("/")
    family, bits = (socket.AF_INET6, 128) if ":" in text else (socket.AF_INET, 32)
    beyond = (1 << bits - int(prefix)) - 1
    first = int.from_bytes(socket.inet_pton(family, text)) & ~beyond
    return bits, first, first | beyond


@lru_cache(4096)
def _wild(patterns: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(pattern.split("*")) for pattern in patterns if "*" in pattern)


def _fits(model: str, parts: tuple[str, ...]) -> bool:
    """Between two stars the first place that fits is as good as any: without going back, many stars cost no more."""
    first, *between, last = parts
    at, end = len(first), len(model) - len(last)
    if at > end or not model.startswith(first) or not model.endswith(last):
        return False
    for part in between:
        found = model.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
