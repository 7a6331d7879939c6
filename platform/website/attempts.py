"""How often somebody may be wrong. Counted in the cache; while that is away, everybody may try."""

from datetime import datetime

from django.core.cache import cache

WINDOW_SECONDS = 3600


def too_many(what: str, whose: str, most: int, now: datetime) -> bool:
    """Whether `most` wrong ones were noted in this hour."""
    found = cache.get(_name(what, whose, now), 0)
    return isinstance(found, int) and found >= most


def note(what: str, whose: str, now: datetime) -> None:
    """Another wrong one."""
    name = _name(what, whose, now)
    cache.add(name, 0, timeout=WINDOW_SECONDS)
    try:
        cache.incr(name)
    except ValueError:
        # The cache is away, or has just forgotten it.
        return


def _name(what: str, whose: str, now: datetime) -> str:
    return f"attempts:{what}:{whose}:{now:%Y%m%d%H}"
