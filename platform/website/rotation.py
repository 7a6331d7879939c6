"""A key's secrets as its page shows them: which of them is in use, and what still has the one that was replaced."""

from dataclasses import dataclass
from datetime import datetime

from accounts.models import ApiKey, ApiKeySecret
from billing import secret_use

MOST_SHOWN = 10


@dataclass(frozen=True)
class Row:
    """`requests` are those of the last 24 hours, and `share` is their part of all that said which secret they had."""

    secret: ApiKeySecret
    state: str
    requests: int
    share: str
    last_used: datetime | None

    @property
    def ending(self) -> bool:
        """Replaced, and still accepted."""
        return self.state == "ending"


def rows(key: ApiKey, now: datetime) -> list[Row]:
    """The newest secrets first; those that may still be ended are never left out."""
    used = secret_use.of_key(key, now)
    total = sum(use.requests for secret, use in used.items() if secret)
    found = []
    for place, secret in enumerate(key.secrets.all()):
        use, state = used.get(secret.pk), _state(secret, now)
        requests = use.requests if use else 0
        if place < MOST_SHOWN or state == "ending":
            found.append(Row(secret, state, requests, share(requests, total), use.last_at if use else None))
    return found


def share(part: int, whole: int) -> str:
    """In per cent, never 0% of something nor 100% of less than all."""
    if part and part * 100 < whole:
        return "under 1%"
    return f"{part * 100 // whole if whole else 0}%"


def _state(secret: ApiKeySecret, now: datetime) -> str:
    if secret.lapses_at is None:
        return "current"
    return "ending" if secret.lapses_at > now else "ended"
