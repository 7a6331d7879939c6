"""One segment → events, rollups, ledger and balances, in one transaction whose fence is the segment's row.

`lines = new + duplicate + quarantined`, always: a constraint says so. What is posted twice counts once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import transaction

from accounts.models import alarm
from billing import ledger, turns
from billing.archive import Chunk, read_chunks
from billing.models import Account, QuarantinedLine, Segment, TransactionKind
from billing.rated import Quarantined, RatedEvent, Rater
from billing.sequences import MOST_RANGES, merged, ranges
from billing.spending import spent_by_organization
from billing.staging import insert_new
from billing.tally import Tally

log = structlog.get_logger(__name__)


def post_segment(segment_id: int, *, now: datetime) -> Segment | None:
    """Post a segment that waits. None where it is posted already, or another worker has it in hand."""
    with transaction.atomic():
        fence = Segment.objects.select_for_update(skip_locked=True).filter(pk=segment_id, posted_at=None)
        segment = fence.first()
        if segment is None:
            return None
        turns.follow()
        tally, differing, claims = Tally(), Differing(), Differing()
        rater = Rater.for_segment(segment, now)
        for chunk in read_chunks(segment.path):
            events, quarantined = _rated(segment, rater, chunk)
            inserted = insert_new(events)
            tally.add(inserted.new)
            tally.settle(events)
            claims.add(event for event in events if event.claimed_nanos not in (None, event.charge_nanos))
            differing.add(inserted.differing)
            _quarantine(segment, quarantined)
            segment.lines += len(chunk.lines)
            segment.new += len(inserted.new)
            segment.quarantined += len(quarantined)
        tally.write()
        _charge(segment, tally, now)
        _tell(segment, claims, differing, now)
        segment.duplicate = segment.lines - segment.new - segment.quarantined
        segment.posted_at, segment.number = now, turns.number()
        segment.save()
    counts = {name: getattr(segment, name) for name in ("lines", "new", "duplicate", "quarantined")}
    log.info("segment posted", segment=segment.identity, **counts)
    return segment


def _rated(segment: Segment, rater: Rater, chunk: Chunk) -> tuple[list[RatedEvent], list[Quarantined]]:
    """Every line becomes an event or a quarantined line."""
    events: list[RatedEvent] = []
    quarantined: list[Quarantined] = []
    seqs: list[int] = []
    for rated in rater.rate(chunk.lines, first=chunk.first, last=chunk.last):
        # Quarantined lines came too: where they are is no gap in their source's numbers.
        if rated.seq:
            seqs.append(rated.seq)
        if isinstance(rated, Quarantined):
            quarantined.append(rated)
        else:
            events.append(rated)
    # Beyond that its numbers mean nothing, and would fill the memory.
    if len(segment.seq_ranges) <= 2 * MOST_RANGES:
        segment.seq_ranges = merged(segment.seq_ranges, ranges(seqs))
    if seqs:
        segment.first_seq = min(seqs if segment.first_seq is None else [segment.first_seq, *seqs])
        segment.last_seq = max([segment.last_seq or 0, *seqs])
    return events, quarantined


def _quarantine(segment: Segment, quarantined: Iterable[Quarantined]) -> None:
    QuarantinedLine.objects.bulk_create(
        (
            QuarantinedLine(segment=segment, line=bad.line, reason=bad.reason, detail=bad.detail[:300], raw=bad.raw)
            for bad in quarantined
        ),
        batch_size=500,
    )


@dataclass
class Differing:
    """Events that say something else than they should: how many, and the first."""

    count: int = 0
    first: RatedEvent | None = None

    def add(self, events: Iterable[RatedEvent]) -> None:
        for event in events:
            self.first = self.first or event
            self.count += 1


def _tell(segment: Segment, claims: Differing, contents: Differing, now: datetime) -> None:
    """One alarm of each kind per segment, however many of its events there are; one per source of what waits."""
    if segment.quarantined:
        detail = (
            f"{segment.quarantined} of {segment.lines} lines of {segment.identity} can't be charged. They wait under"
            " Staff → Usage → Quarantine, and what their requests hold stays set aside until then."
        )
        alarm.raise_alarm("usage_quarantined", segment.source, detail, now=now)
    if first := claims.first:
        detail = (
            f"Events whose charge differs: {claims.count}. The first is {first.id}:"
            f" the gateway says {first.claimed_nanos} nano-dollars, the worker {first.charge_nanos}."
        )
        alarm.raise_alarm("charge_differs", segment.identity, detail, now=now)
    if first := contents.first:
        detail = (
            f"Events that came before with another key, model, outcome or usage: {contents.count}. What came first is"
            f" charged. The first is {first.id}, in line {first.line}."
        )
        alarm.raise_alarm("usage_differs", segment.identity, detail, now=now)


def _charge(segment: Segment, tally: Tally, now: datetime) -> None:
    """One ledger transaction per organization and event day; the holds of what is posted go with the new balance."""
    movements = [
        ledger.Movement(
            operation_key=ledger.usage_operation(segment.pk, organization_id, day),
            kind=TransactionKind(kind),
            organization_id=organization_id,
            nanos=-nanos,
            counter=Account.REVENUE,
            event_day=day,
        )
        for (organization_id, day, kind), nanos in sorted(tally.charges.items())
    ]
    ledger.post(movements, now=now, settled=tally.settled, spending=lambda: spent_by_organization(tally.keys, now))
