"""One segment → events, rollups, ledger and balances, in one transaction whose fence is the segment's row.

`lines = new + duplicate + quarantined`, always: a constraint says so. What is posted twice counts once.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from uuid import UUID

import structlog
from django.db import transaction

from accounts.models import alarm
from billing import ledger, rollups, secret_use, turns
from billing.archive import read_lines
from billing.models import Account, QuarantinedLine, RollupKind, Segment, TransactionKind
from billing.rated import Quarantined, RatedEvent, Rater
from billing.rollups import Group, Sums
from billing.spending import spent_by_organization
from billing.staging import insert_new

log = structlog.get_logger(__name__)


def post_segment(segment_id: int, *, now: datetime) -> Segment | None:
    """Post a segment that waits. None where it is posted already, or another worker has it in hand."""
    with transaction.atomic():
        fence = Segment.objects.select_for_update(skip_locked=True).filter(pk=segment_id, posted_at=None)
        segment = fence.first()
        if segment is None:
            return None
        turns.follow()
        events, quarantined, lines = _rate(segment, now)
        new = insert_new(events.values())
        _compare_claims(segment, events.values(), now)
        _quarantine(segment, quarantined)
        _add_up(new)
        secret_use.add(new)
        _charge(segment, new, now)
        segment.lines, segment.new, segment.quarantined = lines, len(new), len(quarantined)
        segment.duplicate = lines - len(new) - len(quarantined)
        segment.posted_at, segment.number = now, turns.number()
        segment.save()
    counts = {name: getattr(segment, name) for name in ("lines", "new", "duplicate", "quarantined")}
    log.info("segment posted", segment=segment.identity, **counts)
    return segment


def _rate(segment: Segment, now: datetime) -> tuple[dict[UUID, RatedEvent], list[Quarantined], int]:
    """Every line becomes an event (the first of an id), a duplicate, or a quarantined line."""
    events: dict[UUID, RatedEvent] = {}
    quarantined: list[Quarantined] = []
    seqs: list[int] = []
    raw_lines = list(read_lines(segment.path))
    for rated in Rater.for_segment(segment, now).rate(raw_lines):
        if rated.seq is not None:
            seqs.append(rated.seq)
        if isinstance(rated, Quarantined):
            quarantined.append(rated)
        else:
            events.setdefault(rated.id, rated)
    # Quarantined lines came too: where they are is no gap in their source's numbers.
    segment.first_seq, segment.last_seq = min(seqs, default=None), max(seqs, default=None)
    return events, quarantined, len(raw_lines)


def _compare_claims(segment: Segment, events: Iterable[RatedEvent], now: datetime) -> None:
    """One alarm per segment, however many of its charges the gateway computed otherwise."""
    differing = [event for event in events if event.claimed_nanos not in (None, event.charge_nanos)]
    if differing:
        first = differing[0]
        detail = (
            f"Events whose charge differs: {len(differing)}. The first is {first.id}:"
            f" the gateway says {first.claimed_nanos} nano-dollars, the worker {first.charge_nanos}."
        )
        alarm.raise_alarm("charge_differs", segment.identity, detail, now=now)


def _quarantine(segment: Segment, quarantined: Iterable[Quarantined]) -> None:
    QuarantinedLine.objects.bulk_create(
        QuarantinedLine(segment=segment, line=bad.line, reason=bad.reason, detail=bad.detail[:300], raw=bad.raw)
        for bad in quarantined
    )


def _add_up(new: list[RatedEvent]) -> None:
    hourly: dict[tuple[datetime, Group], Sums] = defaultdict(Sums)
    for event in new:
        hour = event.time.replace(minute=0, second=0, microsecond=0)
        group = Group(event.organization_id, event.api_key_id, event.model_id, event.route_id or 0, event.kind)
        hourly[hour, group].add(Sums(1, int(event.outcome != "completed"), event.charge_nanos, event.usage))
    daily: dict[tuple[date, Group], Sums] = defaultdict(Sums)
    for (hour, group), sums in hourly.items():
        daily[hour.date(), group].add(sums)
    rollups.add_hourly(hourly)
    rollups.add_daily(daily)


def _charge(segment: Segment, new: list[RatedEvent], now: datetime) -> None:
    """One ledger transaction per organization and event day; the holds of what is posted go with the new balance."""
    charges: dict[tuple[int, date, RollupKind], int] = defaultdict(int)
    settled: dict[int, list[str]] = defaultdict(list)
    for event in new:
        charges[event.organization_id, event.time.date(), event.kind] += event.charge_nanos
        settled[event.organization_id].append(str(event.id))
    movements = [
        ledger.Movement(
            operation_key=ledger.usage_operation(segment.pk, organization_id, day),
            kind=TransactionKind(kind),
            organization_id=organization_id,
            nanos=-nanos,
            counter=Account.REVENUE,
            event_day=day,
        )
        for (organization_id, day, kind), nanos in sorted(charges.items())
    ]
    keys = {event.api_key_id for event in new}
    ledger.post(movements, now=now, settled=settled, spending=lambda: spent_by_organization(keys, now))
