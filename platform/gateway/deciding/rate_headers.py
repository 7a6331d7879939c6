"""What is left of the limits, of key or organization, whichever has less left."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from django.conf import settings

from config.dialect import RateHeaders
from gateway.deciding.decision import LimitState

LIMITS = {"requests_per_minute": "requests", "requests_per_day": "requests", "tokens_per_minute": "tokens"}
KINDS = {f"{whose}.{limit}": kind for whose in ("key", "organization") for limit, kind in LIMITS.items()}


def rate_headers(limits: Iterable[LimitState]) -> dict[str, str]:
    """The six headers, or those of the kinds that have a limit, as the dialect names them."""
    tightest: dict[str, LimitState] = {}
    for limit in limits:
        kind = KINDS[limit.name]
        other = tightest.get(kind)
        if other is None or limit.left < other.left:
            tightest[kind] = limit
    headers: dict[str, str] = {}
    style = settings.DIALECT.rate_headers
    reset = RESETS[style.reset]
    for kind, limit in tightest.items():
        most, left, back = _names(style, kind)
        headers[most], headers[left], headers[back] = str(limit.most), str(limit.left), reset(limit.back_ms)
    return headers


@lru_cache
def _names(style: RateHeaders, kind: str) -> list[str]:
    return [style.named(what, kind) for what in ("limit", "remaining", "reset")]


def go_duration(milliseconds: int) -> str:
    """As Go's time.Duration prints it."""
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def seconds(milliseconds: int) -> str:
    """Whole ones, rounded up."""
    return str(-(-milliseconds // 1000))


def timestamp(milliseconds: int) -> str:
    """When that is from now on: a moment in UTC, to the second after it."""
    back = datetime.now(UTC) + timedelta(milliseconds=milliseconds + 999)
    return f"{back:%Y-%m-%dT%H:%M:%SZ}"


RESETS = {"duration": go_duration, "seconds": seconds, "timestamp": timestamp}
