"""`x-ratelimit-…`: what is left of the limits, of key or organization, whichever has less left."""

from collections.abc import Iterable

from gateway.decision import LimitState

HEADERS = {"requests_per_minute": "requests", "requests_per_day": "requests", "tokens_per_minute": "tokens"}


def rate_headers(limits: Iterable[LimitState]) -> dict[str, str]:
    """The six headers, or those of the kinds that have a limit. Resets are Go durations: `12ms`, `1s`, `6m0s`."""
    tightest: dict[str, LimitState] = {}
    for limit in limits:
        kind = HEADERS[limit.name.partition(".")[2]]
        if kind not in tightest or limit.left < tightest[kind].left:
            tightest[kind] = limit
    headers = {}
    for kind, limit in tightest.items():
        headers[f"x-ratelimit-limit-{kind}"] = str(limit.most)
        headers[f"x-ratelimit-remaining-{kind}"] = str(limit.left)
        headers[f"x-ratelimit-reset-{kind}"] = go_duration(limit.back_ms)
    return headers


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
