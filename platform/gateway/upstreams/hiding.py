"""What an upstream says of a request, without what tells who it is."""

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from gateway.offering.offer import OfferedRoute

LONGEST = 2_000
_SERVER = "the model's server"
# How OpenAI's servers and their like name an account, a project, a key and a request.
_IDS = re.compile(r"\b(?:org|proj|req|sk)[-_][A-Za-z0-9_*.-]{6,}")


def hidden(text: str, route: OfferedRoute) -> str:
    """The text without the route's credential, addresses and name of the model."""
    if route.credential:
        text = text.replace(route.credential, "…")
    for pattern, instead in _patterns(route.base_url, route.upstream_model):
        text = pattern.sub(instead, text)
    return _IDS.sub("…", text)[:LONGEST]


def hidden_error(error: Any, route: OfferedRoute) -> Any:
    """An error that is a part of an answer; anything else as it is."""
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return {**error, "message": hidden(error["message"], route)}
    return error


@lru_cache(1024)
def _patterns(base_url: str, upstream_model: str) -> list[tuple[re.Pattern[str], str]]:
    found = [(_word(re.escape(base_url)), _SERVER)]
    address = urlsplit(base_url)
    if address.netloc and (address.port or "." in address.netloc):
        found.append((_word(re.escape(address.netloc)), _SERVER))
    if domain := _domain(address.hostname or ""):
        # A link to its documentation names it, too.
        found.append((_word(r"(?:https?://)?(?:[\w-]+\.)*" + re.escape(domain) + r"(?::\d+)?(?:/\S*)?"), _SERVER))
    return [*found, (_word(re.escape(upstream_model)), "the model")] if upstream_model else found


def _word(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){pattern}(?!\w)", re.IGNORECASE)


def _domain(host: str) -> str:
    """Of a name its last two parts; an address whole; empty for a name without dots."""
    try:
        return str(ip_address(host))
    except ValueError:
        return ".".join(host.split(".")[-2:]) if "." in host else ""
