"""Whether all of a source's numbered lines came. A number that is missing is a gap, until it comes or is explained."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog
from django.db import transaction

from accounts.models import User, alarm, audit
from billing.models import Segment, SequenceGap, UsageSource

log = structlog.get_logger(__name__)

# Segments are posted out of order, and shipped again after a while: a gap that is younger is nothing yet.
LASTING = timedelta(minutes=5)
# A segment with more holes than that has numbers that mean nothing.
MOST_RANGES = 1_000
BATCH = 500
SETTLED = timedelta(seconds=10)


def ranges(seqs: Iterable[int]) -> list[int]:
    """Numbers as ranges, flat: first, last, first, last, …"""
    flat: list[int] = []
    for seq in sorted(seqs):
        if flat and seq <= flat[-1] + 1:
            flat[-1] = seq
        else:
            flat += [seq, seq]
    return flat


def merged(some: list[int], others: list[int]) -> list[int]:
    """Both as ranges."""
    flat: list[int] = []
    pairs = sorted([*zip(some[::2], some[1::2], strict=True), *zip(others[::2], others[1::2], strict=True)])
    for first, last in pairs:
        if flat and first <= flat[-1] + 1:
            flat[-1] = max(flat[-1], last)
        else:
            flat += [first, last]
    return flat


def note_sequences(now: datetime) -> int:
    """Note the numbers of segments posted since; return how many segments. Two at once do each once."""
    noted = 0
    while found := _note_some(now):
        noted += found
    return noted


def _note_some(now: datetime) -> int:
    with transaction.atomic():
        # What came before these has been posted by then, mostly: workers don't keep the order.
        waiting = Segment.objects.unnoted().filter(posted_at__lt=now - SETTLED)
        segments = list(waiting.select_for_update(skip_locked=True).order_by("pk")[:BATCH])
        names = sorted({segment.source for segment in segments})
        first = {segment.source: segment.received_at for segment in reversed(segments)}
        UsageSource.objects.bulk_create(
            (UsageSource(name=name, first_received_at=first[name], last_received_at=first[name]) for name in names),
            ignore_conflicts=True,
        )
        locked = UsageSource.objects.select_for_update().filter(name__in=names).order_by("name")
        sources = {source.name: source for source in locked}
        for segment in segments:
            _note(sources[segment.source], segment, now)
        for source in sources.values():
            source.save()
        Segment.objects.filter(pk__in=[segment.pk for segment in segments]).update(noted_at=now)
    return len(segments)


def _note(source: UsageSource, segment: Segment, now: datetime) -> None:
    if segment.received_at >= source.last_received_at:
        source.last_received_at, source.last_segment = segment.received_at, segment
    if len(segment.seq_ranges) > 2 * MOST_RANGES:
        detail = f"{segment.identity}: {len(segment.seq_ranges) // 2} ranges. This source has to count by one."
        alarm.raise_alarm("sequence_broken", source.name, detail, now=now)
        reached = segment.last_seq or 0
        if reached > source.last_seq:
            # One, which a person explains, of however many: the proofs ask for each number.
            SequenceGap.objects.create(source=source, first=source.last_seq + 1, last=reached, found_at=now)
            source.last_seq = reached
        return
    known = 0
    for first, last in zip(segment.seq_ranges[::2], segment.seq_ranges[1::2], strict=True):
        if first <= source.last_seq:
            known += min(last, source.last_seq) - first + 1 - _fill(source, first, last, now)
        elif first > source.last_seq + 1:
            SequenceGap.objects.create(source=source, first=source.last_seq + 1, last=first - 1, found_at=now)
        source.last_seq = max(source.last_seq, last)
    if known and segment.new and not segment.duplicate and segment.origin != Segment.Origin.REPLAY:
        # Of what comes twice there are duplicates. This is other usage.
        detail = (
            f"{segment.identity}: {known} of its numbers were other lines' before. This source counts anew, so what it"
            " lost can't be seen."
        )
        alarm.raise_alarm("sequence_reused", source.name, detail, now=now)


def _fill(source: UsageSource, first: int, last: int, now: datetime) -> int:
    """Numbers that came late, and how many: what is left of a gap stays open, under the row that it had."""
    filled = 0
    for gap in SequenceGap.objects.filter(source=source, filled_at=None, first__lte=last, last__gte=first):
        left = [(gap.first, first - 1)] if gap.first < first else []
        left += [(last + 1, gap.last)] if gap.last > last else []
        came = SequenceGap(
            source=source, first=max(gap.first, first), last=min(gap.last, last), found_at=gap.found_at, filled_at=now
        )
        filled += came.last - came.first + 1
        if not left:
            gap.filled_at = now
            gap.save(update_fields=["filled_at"])
            continue
        gap.first, gap.last = left.pop(0)
        gap.save(update_fields=["first", "last"])
        rest = [
            SequenceGap(
                source=source,
                first=begin,
                last=end,
                found_at=gap.found_at,
                explained_at=gap.explained_at,
                explanation=gap.explanation,
            )
            for begin, end in left
        ]
        SequenceGap.objects.bulk_create([came, *rest])
    return filled


def explain_gap(gap: SequenceGap, explanation: str, *, actor: User, now: datetime) -> bool:
    """A person says why these numbers never came. Whether it was still open."""
    with transaction.atomic():
        if not SequenceGap.objects.open().filter(pk=gap.pk).update(explained_at=now, explanation=explanation):
            return False
        audit.record("gap.explain", f"gap:{gap}"[:120], actor=actor, reason=explanation, now=now)
    return True


def watch_gaps(now: datetime) -> None:
    """One alarm per source with gaps that last."""
    lasting = SequenceGap.objects.open().filter(found_at__lt=now - LASTING)
    for source in UsageSource.objects.filter(pk__in=lasting.values("source")):
        gaps = list(lasting.filter(source=source).order_by("first")[:4])
        told = ", ".join(f"{gap.first} to {gap.last}" for gap in gaps[:3]) + (", …" if len(gaps) > 3 else "")
        detail = f"Lines that never came: {told}. Ship them, or explain the gap on Staff, Usage."
        alarm.raise_alarm("usage_missing", source.name, detail, now=now)
