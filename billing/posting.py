"""One segment → events, rollups, ledger and balances, in one transaction whose fence is the segment's row.

`lines = new + duplicate + quarantined`, always: a constraint says so. What is posted twice counts once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import DataError, InterfaceError, OperationalError, transaction

from accounts.models import alarm
from billing import ledger, staging, stored, turns
from billing.archive import Chunk, read_chunks
from billing.fullness import nearly_full, overflowed
from billing.models import Account, QuarantineReason, Segment, TransactionKind
from billing.quarantine.keeping import Keeper
from billing.rated import NotYetError, Quarantined, RatedEvent, Rater
from billing.sequences import MOST_RANGES, merged, ranges
from billing.spending import spent_by_organization
from billing.staging import insert_new
from billing.tally import Tally

log = structlog.get_logger(__name__)


def try_post(segment_id: int, *, now: datetime) -> None:
    """Post a segment, or leave it to the next try: where that can't help by itself, with an alarm."""
    try:
        post_segment(segment_id, now=now)
    except (InterfaceError, OperationalError) as error:
        # The database is away, or took this transaction as a deadlock's victim. If that lasts, `usage_waits` says so.
        log.warning("posting put off", segment=segment_id, error=str(error))
    except NotYetError as error:
        log.warning("a clock is ahead: posting put off", segment=segment_id, error=str(error))
    except Exception as error:
        log.exception("posting fails", segment=segment_id)
        identity = Segment.objects.values_list("identity", flat=True).get(pk=segment_id)
        detail = f"{type(error).__name__}: {str(error)[:500]}. The segment is tried again until this is mended."
        alarm.raise_alarm("posting_fails", identity, detail, now=now)


def post_segment(segment_id: int, *, now: datetime) -> Segment | None:
    """Post a segment that waits. None where it is posted already, or another worker has it in hand."""
    tally = Tally()
    try:
        return _post(segment_id, now, tally)
    except DataError as error:
        full = nearly_full({organization for organization, _, _ in tally.charges}) if overflowed(error) else None
        if not full:
            raise
        # Their lines wait, so that those of others don't.
        log.error("sums are full", organizations=sorted(full), segment=segment_id)
        return _post(segment_id, now, Tally(), full)


def _post(segment_id: int, now: datetime, tally: Tally, full: frozenset[int] = frozenset()) -> Segment | None:
    with transaction.atomic():
        fence = Segment.objects.select_for_update(skip_locked=True).filter(pk=segment_id, posted_at=None)
        segment = fence.first()
        if segment is None:
            return None
        turns.follow()
        keeper, differing, claims = Keeper(segment), Odd(), Odd()
        rater = Rater.for_segment(segment, now, full)
        for chunk in read_chunks(segment.path):
            events, quarantined = _rated(segment, rater, chunk)
            inserted = insert_new(events)
            if inserted.differing:
                differing.add(event for event, _ in inserted.differing)
                quarantined += _waiting(inserted.differing, chunk)
                others = {event.line for event, _ in inserted.differing}
                events = [event for event in events if event.line not in others]
            tally.add(inserted.new)
            tally.settle(events)
            claims.add(event for event in events if event.claimed_nanos not in (None, event.charge_nanos))
            keeper.keep(quarantined)
            stored.note(rater.noted)
            segment.lines += len(chunk.lines)
            segment.new += len(inserted.new)
        keeper.finish()
        tally.write()
        _charge(segment, tally, now)
        segment.new_by_day = {str(day): count for day, count in sorted(tally.days.items())}
        segment.quarantined = keeper.count
        segment.duplicate = segment.lines - segment.new - segment.quarantined
        _tell(segment, claims, differing, now)
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


def _waiting(differing: Iterable[staging.Differing], chunk: Chunk) -> Iterator[Quarantined]:
    """What came first stays; whether the other is charged too, or instead, is for a person to say."""
    for event, of_what in differing:
        raw = chunk.lines[event.line - chunk.first]
        detail = f"An event with this id and another {of_what} came before"
        yield Quarantined(event.line, raw, QuarantineReason.DIFFERS, detail, None)


@dataclass
class Odd:
    """Events that say something else than they should: how many, and the first."""

    count: int = 0
    first: RatedEvent | None = None

    def add(self, events: Iterable[RatedEvent]) -> None:
        for event in events:
            self.first = self.first or event
            self.count += 1


def _tell(segment: Segment, claims: Odd, contents: Odd, now: datetime) -> None:
    """One alarm of each kind per segment, however many of its events there are; one per source of what waits."""
    if segment.quarantined > contents.count:
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
            f"Events that came before with another key, model, outcome, usage or variant: {contents.count}, the first"
            f" {first.id} in line {first.line}. What came before is charged; these wait: Staff → Usage → Quarantine."
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
