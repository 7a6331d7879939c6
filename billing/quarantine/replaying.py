"""Quarantined lines as segments of their own, which resolves them."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from io import BytesIO

from billing.intake import receive_file
from billing.models import QuarantinedLine, QuarantineReason, Segment
from billing.quarantine.holds import release_holds


class ConfirmationError(Exception):
    """The sender may not write for these organizations: a person has to say that it is right."""


class ReplayError(Exception):
    """These can't be replayed; they stay open. The message says why."""


def require_confirmed(reason: str, *, foreign_allowed: bool) -> None:
    """Raises ConfirmationError."""
    if reason == QuarantineReason.FOREIGN_ORGANIZATION and not foreign_allowed:
        raise ConfirmationError


def locked(pks: Iterable[int]) -> list[QuarantinedLine]:
    """Those of these lines that are open, which nobody else can resolve until the caller's transaction has ended."""
    found = QuarantinedLine.objects.open().select_for_update(of=("self",)).filter(pk__in=pks)
    return list(found.order_by("pk").select_related("segment"))


def replay(lines: Iterable[tuple[QuarantinedLine, bytes]], now: datetime, *, note: str = "") -> list[Segment]:
    """Register lines that are locked, each with the text that is posted for it: a segment for each source and what its
    sender may write.

    Of lines whose sender may not write for their organization a person has confirmed that it was right.
    """
    lines = list(lines)
    if several := [line for line, _ in lines if line.lines > 1]:
        raise ReplayError(f"Line {several[0].line} stands for {several[0].lines} that nobody can read: discard them.")
    # Under another id than their request's, their events take no hold away.
    release_holds([line for line, _ in lines if line.reason == QuarantineReason.DIFFERS], now)
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[QuarantinedLine, bytes]]] = defaultdict(list)
    for line, text in lines:
        confirmed = line.reason == QuarantineReason.FOREIGN_ORGANIZATION
        groups[line.segment.source, () if confirmed else tuple(line.segment.organizations)].append((line, text))
    return [_replay(source, bound, group, note, now) for (source, bound), group in groups.items()]


def _replay(
    source: str, bound: tuple[str, ...], lines: list[tuple[QuarantinedLine, bytes]], note: str, now: datetime
) -> Segment:
    # A line is replayed once: the first one's number is nobody else's.
    first, _ = lines[0]
    segment = Segment(
        identity=f"replay-{first.pk}",
        source=source,
        organizations=list(bound),
        origin=Segment.Origin.REPLAY,
        received_at=now,
    )
    registered, new = receive_file(segment, BytesIO(b"".join(text + b"\n" for _, text in lines)))
    if not new:
        # Resolved by what isn't their replay, these lines would be lost.
        raise ReplayError(f"There is a segment {segment.identity} already, and it is no replay of these lines.")
    pks = [line.pk for line, _ in lines]
    QuarantinedLine.objects.filter(pk__in=pks).update(resolved_at=now, replay=registered, note=note[:300])
    return registered
