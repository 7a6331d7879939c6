"""Typed readers of the environment.

A setting that is missing or malformed does not stop the import: it is remembered here and reported by the system
check `keymeter.E001` with a hint, so that every problem is seen at once. Servers run the checks before they serve.
"""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

env = environ.Env()
problems: list[tuple[str, str]] = []

NANOS = 1_000_000_000


def read(name: str, parse: Callable[[str], T], fallback: T, *, required: bool = False) -> T:
    """Return the parsed setting, or `fallback` after noting a problem (or where an optional one is absent)."""
    raw = env.str(name, default="")
    if not raw:
        if required:
            problems.append((name, f"{name} is not set"))
        return fallback
    try:
        return parse(raw)
    except (ValueError, InvalidOperation, ImproperlyConfigured) as error:
        problems.append((name, f"{name} cannot be read: {error}"))
        return fallback


def secret(raw: str) -> str:
    """A random string of at least 32 characters."""
    if len(raw) < 32:
        raise ValueError("at least 32 characters are needed")
    return raw


def peppers(raw: str) -> dict[int, bytes]:
    """`1:<hex>,2:<hex>` → pepper id → 32 or more bytes. The highest id is used for new secrets."""
    found = {}
    for part in raw.split(","):
        pepper_id, _, value = part.strip().partition(":")
        found[int(pepper_id)] = bytes.fromhex(value)
        if len(found[int(pepper_id)]) < 32:
            raise ValueError("each pepper needs 64 hexadecimal digits or more")
    return found


def words(raw: str) -> list[str]:
    """Comma-separated words."""
    return [word.strip() for word in raw.split(",") if word.strip()]


def words_or_none(raw: str) -> list[str]:
    """Comma-separated words; `none` is no word at all."""
    return [] if raw.strip() == "none" else words(raw)


def fernet_keys(raw: str) -> list[str]:
    """Comma-separated Fernet keys, the current one first."""
    from cryptography.fernet import Fernet

    for key in words(raw):
        Fernet(key)
    return words(raw)


def dollars(raw: str) -> int:
    """A decimal number of dollars → nano-dollars. More than nine decimals is an error."""
    nanos = Decimal(raw) * NANOS
    if nanos != nanos.to_integral_value():
        raise ValueError("an amount has at most nine decimals")
    return int(nanos)


def cents(raw: str) -> int:
    """As `dollars`, more than nothing and in whole cents."""
    nanos = dollars(raw)
    if nanos <= 0 or nanos % (NANOS // 100):
        raise ValueError("an amount above zero, in whole cents, is expected")
    return nanos


def stripe_key(raw: str) -> str:
    """A secret or restricted key, of test or live mode."""
    if not raw.startswith(("sk_test_", "sk_live_", "rk_test_", "rk_live_")):
        raise ValueError("a secret key begins with sk_test_ or sk_live_ (restricted: rk_test_, rk_live_)")
    return raw


def webhook_secrets(raw: str) -> list[str]:
    """One signing secret, or two while one replaces the other. An empty one would let everybody sign."""
    found = [part.strip() for part in raw.split(",")]
    if len(found) > 2 or any(not secret.startswith("whsec_") or len(secret) < 22 for secret in found):
        raise ValueError("one or two secrets that begin with whsec_ are expected, with a comma between them")
    return found


def count(raw: str) -> int:
    """A whole number above zero."""
    number = int(raw)
    if number < 1:
        raise ValueError("a whole number above zero is expected")
    return number


def boolean(raw: str) -> bool:
    """`true`/`false`, `1`/`0`, `yes`/`no`."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if raw.lower() not in known:
        raise ValueError("true or false is expected")
    return known[raw.lower()]


def origin(raw: str) -> str:
    """An http(s) address without a trailing slash."""
    if not raw.startswith(("http://", "https://")):
        raise ValueError("an address starts with http:// or https://")
    return raw.rstrip("/")
