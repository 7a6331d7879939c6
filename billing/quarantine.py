"""Quarantined lines: looked at by kind, replayed as segments of their own, or discarded with a reason.

A line is resolved once, in the transaction that registers its replay: pressed twice, it is replayed once. What
can't be charged then is quarantined again, as a line of the replay.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from itertools import accumulate

from django.db import transaction
from django.db.models import Count, Min, QuerySet
from django.db.models.functions import Length

from accounts.models import User, audit
from billing.adapters import again
from billing.batches import finder
from billing.discarded import release_holds
from billing.intake import receive_file
from billing.models import QuarantinedLine, QuarantineReason, QuarantineRun, Segment
from billing.tasks import run_quarantine
from config import enqueue

PORTION_LINES = 5_000
PORTION_BYTES = 8 * 1024 * 1024
MOST_AUDITED = 2_000


class ConfirmationError(Exception):
    """The sender may not write for these organizations: a person has to say that it is right."""


@dataclass(frozen=True)
class Kind:
    """Lines that wait for the same reason; empty is any."""

    reason: str
    detail: str = ""
    source: str = ""

    def open(self) -> QuerySet[QuarantinedLine]:
        found = QuarantinedLine.objects.open().filter(reason=self.reason)
        if self.detail:
            found = found.filter(detail=self.detail)
        return found.filter(segment__source=self.source) if self.source else found


def reasons() -> list[tuple[str, int, datetime]]:
    """What waits: (reason, lines, when the oldest came), the most first."""
    found = QuarantinedLine.objects.open().values_list("reason").annotate(count=Count("pk"), first=Min("pk"))
    firsts = {reason: first for reason, _, first in found}
    came = dict(
        QuarantinedLine.objects.filter(pk__in=firsts.values()).values_list("reason", "segment__received_at").order_by()
    )
    return [(reason, count, came[reason]) for reason, count, _ in found.order_by("-count", "reason")]


def details(kind: Kind, most: int = 20) -> list[tuple[str, int]]:
    """The commonest details of a kind."""
    found = kind.open().values_list("detail").annotate(count=Count("pk"))
    return list(found.order_by("-count", "detail")[:most])


def reasons_of(segment: Segment) -> dict[str, int]:
    """Why lines of a segment are in quarantine, open or resolved."""
    found = segment.quarantined_lines.values_list("reason").annotate(count=Count("pk"))
    return dict(found.order_by("reason"))


def named(reasons: dict[str, int]) -> list[tuple[str, str, int]]:
    """(reason, in words, lines)."""
    return [(reason, QuarantineReason(reason).label, count) for reason, count in reasons.items()]


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
    _require_confirmed(line.reason, foreign_allowed=foreign_allowed)
    with transaction.atomic():
        (segment,) = _replay([line.pk], now, foreign_allowed=foreign_allowed, text=text, note=note) or (None,)
        if segment:
            after = {"segment": segment.identity, "foreign_allowed": foreign_allowed}
            if text is not None:
                after["line"] = text.decode()[:MOST_AUDITED]
            audit.record(
                "quarantine.replay",
                _target(line),
                actor=actor,
                before=_told(line),
                after=after,
                reason=note,
                now=now,
            )
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


def start_run(
    kind: Kind,
    action: QuarantineRun.Action,
    *,
    actor: User,
    now: datetime,
    note: str = "",
    foreign_allowed: bool = False,
) -> QuarantineRun | None:
    """Replay or discard all that is of this kind now; None where nothing is. Raises ConfirmationError."""
    if action == QuarantineRun.Action.REPLAY:
        _require_confirmed(kind.reason, foreign_allowed=foreign_allowed)
    newest = kind.open().order_by("-pk").first()
    if newest is None:
        return None
    with transaction.atomic():
        run = QuarantineRun.objects.create(
            action=action,
            reason=kind.reason,
            detail=kind.detail,
            source=kind.source,
            through=newest,
            foreign_allowed=foreign_allowed,
            note=note[:300],
            started_by=actor,
            started_at=now,
            total=kind.open().filter(pk__lte=newest.pk).count(),
        )
        after = {"detail": kind.detail, "source": kind.source, "lines": run.total, "foreign_allowed": foreign_allowed}
        audit.record(f"quarantine.{action}_all", kind.reason, actor=actor, after=after, reason=note, now=now)
        enqueue.after_commit(run_quarantine, run.pk)
    return run


def go_on(run_id: int, now: datetime) -> bool:
    """The next portion of a run; whether there may be another. Two workers at once do it one after the other."""
    with transaction.atomic():
        unfinished = QuarantineRun.objects.select_for_update(skip_locked=True).filter(pk=run_id, finished_at=None)
        run = unfinished.first()
        if run is None:
            return False
        kind = Kind(run.reason, run.detail, run.source)
        portion = _portion(kind.open().filter(pk__lte=run.through_id))
        if not portion:
            run.finished_at = now
        elif run.action == QuarantineRun.Action.DISCARD:
            found = QuarantinedLine.objects.open().filter(pk__in=portion)
            release_holds(found, now)
            run.done += found.update(resolved_at=now, note=run.note)
        else:
            segments = _replay(portion, now, foreign_allowed=run.foreign_allowed, note=run.note)
            run.done += sum(segment.replayed_lines.count() for segment in segments)
        run.save(update_fields=["finished_at", "done"])
    return bool(portion)


def _portion(lines: QuerySet[QuarantinedLine]) -> list[int]:
    """The first lines, as many as are held in memory at once."""
    sizes = list(lines.order_by("pk").annotate(size=Length("raw")).values_list("pk", "size")[:PORTION_LINES])
    summed = accumulate(size for _, size in sizes)
    return [pk for (pk, size), total in zip(sizes, summed, strict=True) if total - size < PORTION_BYTES]


def _replay(
    pks: list[int], now: datetime, *, foreign_allowed: bool, text: bytes | None = None, note: str = ""
) -> list[Segment]:
    """One segment for each source and what its sender may write; in the caller's transaction."""
    found = QuarantinedLine.objects.open().select_for_update(of=("self",)).filter(pk__in=pks).order_by("pk")
    groups: dict[tuple[str, tuple[str, ...]], list[QuarantinedLine]] = defaultdict(list)
    for line in found.select_related("segment"):
        bound = () if foreign_allowed else tuple(line.segment.organizations)
        groups[line.segment.source, bound].append(line)
    find_key = finder()
    segments = []
    for (source, bound), lines in groups.items():
        content = BytesIO()
        for line in lines:
            content.write((again(bytes(line.raw), source, find_key) if text is None else text) + b"\n")
        # A line is replayed once: the first one's number is nobody else's.
        segment = Segment(
            identity=f"replay-{lines[0].pk}",
            source=source,
            organizations=list(bound),
            origin=Segment.Origin.REPLAY,
            received_at=now,
        )
        registered, _ = receive_file(segment, content)
        _resolve(lines, registered, note, now)
        segments.append(registered)
    return segments


def _resolve(lines: Iterable[QuarantinedLine], replay: Segment, note: str, now: datetime) -> None:
    pks = [line.pk for line in lines]
    QuarantinedLine.objects.filter(pk__in=pks).update(resolved_at=now, replay=replay, note=note[:300])


def _require_confirmed(reason: str, *, foreign_allowed: bool) -> None:
    if reason == QuarantineReason.FOREIGN_ORGANIZATION and not foreign_allowed:
        raise ConfirmationError


def _target(line: QuarantinedLine) -> str:
    return f"line:{line.pk}"


def _told(line: QuarantinedLine) -> dict[str, str]:
    """PostgreSQL's JSON has no NUL."""
    text = bytes(line.raw).decode("utf-8", "replace").replace("\0", "�")
    return {"reason": line.reason, "line": text[:MOST_AUDITED]}
