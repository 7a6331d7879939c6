"""Public identifiers and random text: `key_4fT…`, as customers, gateways and logs see them."""

import secrets

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def random_base62(length: int) -> str:
    """Return `length` characters, each with log2(62) ≈ 5.95 bits of entropy from the system's source."""
    number = secrets.randbelow(len(ALPHABET) ** length)
    characters = []
    for _ in range(length):
        number, place = divmod(number, len(ALPHABET))
        characters.append(ALPHABET[place])
    return "".join(characters)


def public_id(prefix: str) -> str:
    """Return a new identifier such as `org_…` with 119 bits of entropy."""
    return f"{prefix}_{random_base62(20)}"


def organization_id() -> str:
    return public_id("org")


def key_id() -> str:
    return public_id("key")


def secret_id() -> str:
    return public_id("sec")
