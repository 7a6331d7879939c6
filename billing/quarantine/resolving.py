"""One quarantined line: replayed or discarded by a person."""

from datetime import datetime

from django.db import transaction

from accounts.models import User, audit
from billing.models import QuarantinedLine, Segment
from billing.quarantine.holds import release_holds
from billing.quarantine.replaying import locked, replay, require_confirmed
from billing.quarantine.rereading import rereader

MOST_AUDITED = 2_000


def replay_line(
    line: QuarantinedLine,
    *,
    actor: User,
    now: datetime,
    text: bytes | None = None,
    note: str = "",
    foreign_allowed: bool = False,
) -> Segment | None:
    """Replay one, as it is or as `text`; None where somebody resolved it already. Raises ConfirmationError."""
    require_confirmed(line.reason, foreign_allowed=foreign_allowed)
    with transaction.atomic():
        found = locked([line.pk])
        if not found:
            return None
        reread = rereader()
        (segment,) = replay([(one, reread(one) if text is None else text) for one in found], now, note=note)
        after: dict[str, object] = {"segment": segment.identity, "foreign_allowed": foreign_allowed}
        if text is not None:
            after["line"] = text.decode()[:MOST_AUDITED]
        before = _told(line)
        audit.record("quarantine.replay", _target(line), actor=actor, before=before, after=after, reason=note, now=now)
    return segment


def discard_line(line: QuarantinedLine, *, actor: User, reason: str, now: datetime) -> bool:
    """Nothing will be charged for it. Whether it was still open."""
    with transaction.atomic():
        open_ = QuarantinedLine.objects.open().filter(pk=line.pk)
        if not open_.update(resolved_at=now, note=reason[:300]):
            return False
        release_holds([line], now)
        audit.record("quarantine.discard", _target(line), actor=actor, before=_told(line), reason=reason, now=now)
    return True


def _target(line: QuarantinedLine) -> str:
    return f"line:{line.pk}"


def _told(line: QuarantinedLine) -> dict[str, str]:
    """PostgreSQL's JSON has no NUL."""
    text = bytes(line.raw).decode("utf-8", "replace").replace("\0", "�")
    return {"reason": line.reason, "line": text[:MOST_AUDITED]}
