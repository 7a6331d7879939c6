"""Corrections: the charge that was posted is subtracted and the new one added; nothing that was posted is edited.

Each correction builds on the ones before, so that a correction made twice finds nothing to do. Events are corrected in
batches, a transaction each: what was killed is run again, and goes on where it was.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction

from accounts.models import User, audit
from billing import ledger, rollups, standing
from billing.models import (
    Account,
    Correction,
    CreditGrant,
    EventCorrection,
    LedgerTransaction,
    Outcome,
    RollupKind,
    TransactionKind,
)
from billing.rollups import Group, Sums
from billing.spending import spent_by_organization
from billing.standing import Scope, Standing

COMPLETED = Outcome.COMPLETED.value
LOCK = 0x636F7272


class CorrectionError(ValueError):
    """What can't be corrected so; the message says why."""


class Charged(NamedTuple):
    """What an event should be charged: nano-dollars for this end and usage by this price version (pk), multiplied."""

    outcome: str
    usage: dict[str, int]
    price_version_id: int | None
    multipliers: list[int]
    nanos: int


Rule = Callable[[Standing], Charged]
"""What an event should be charged; what it is charged now, if nothing is to be corrected. Raises CorrectionError."""
Tick = Callable[[int], None]
"""Told how many events more were looked at."""
Skip = Callable[[UUID, CorrectionError], None]
"""Told of an event that stays as it is because it can't be corrected so, and why."""


def never_skip(_event: UUID, error: CorrectionError) -> None:
    raise error


@dataclass(slots=True)
class Difference:
    """What corrections change for an organization: how many events, and nano-dollars (negative is money back)."""

    events: int = 0
    nanos: int = 0


class _Change(NamedTuple):
    event: Standing
    charged: Charged

    @property
    def nanos(self) -> int:
        return self.charged.nanos - self.event.charge_nanos


def preview(scope: Scope, rule: Rule, tick: Tick = lambda _: None, skip: Skip = never_skip) -> dict[int, Difference]:
    """Organization pk → what correcting these events would change. Writes nothing."""
    differences: dict[int, Difference] = defaultdict(Difference)
    for batch in standing.batches(scope):
        _count(differences, _changes(batch, rule, skip))
        tick(len(batch))
    return dict(differences)


def correct(
    scope: Scope,
    rule: Rule,
    *,
    what: str,
    reason: str,
    actor: User | None,
    clock: Callable[[], datetime],
    tick: Tick = lambda _: None,
    skip: Skip = never_skip,
) -> dict[int, Difference]:
    """Correct these events; return what changed for each organization (by pk). Run again, it goes on.

    Raises CorrectionError for one that can't be, unless `skip` takes it.
    """
    differences: dict[int, Difference] = defaultdict(Difference)
    correction: Correction | None = None
    for batch in standing.batches(scope):
        if list(_changes(batch, rule, skip)):
            with transaction.atomic():
                correction = correction or _record(what, reason, actor, clock())
                changes = _locked_changes(batch, scope, rule)
                _post(correction, changes, clock())
            _count(differences, changes)
        tick(len(batch))
    return dict(differences)


def _record(what: str, reason: str, actor: User | None, now: datetime) -> Correction:
    audit.record("usage.correct", what[:120], actor=actor, reason=reason, now=now)
    return Correction.objects.create(what=what[:300], reason=reason, actor=actor, made_at=now)


def _changes(batch: list[Standing], rule: Rule, skip: Skip) -> Iterator[_Change]:
    for event in batch:
        try:
            charged = rule(event)
        except CorrectionError as error:
            skip(event.id, error)
            continue
        now, then = (charged.nanos, charged.usage, charged.outcome), (event.charge_nanos, event.usage, event.outcome)
        if now != then:
            yield _Change(event, charged)


def _locked_changes(batch: list[Standing], scope: Scope, rule: Rule) -> list[_Change]:
    """What is to be changed now that nobody else corrects anything until the transaction has ended."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    # Those to skip have been told of.
    return list(_changes(standing.reread(batch, scope), rule, lambda _event, _error: None))


def _post(correction: Correction, changes: list[_Change], now: datetime) -> None:
    _add_up(changes)
    movements = _movements(correction, changes)
    keys = {change.event.api_key_id for change in changes}
    posted = ledger.post(
        [movement for movement, _ in movements], now=now, spending=lambda: spent_by_organization(keys, now)
    )
    EventCorrection.objects.bulk_create(
        EventCorrection(
            correction=correction,
            event_id=change.event.id,
            number=change.event.corrections + 1,
            organization_id=change.event.organization_id,
            event_day=change.event.day,
            outcome=change.charged.outcome,
            usage=change.charged.usage,
            price_version_id=change.charged.price_version_id,
            multipliers=change.charged.multipliers,
            old_charge_nanos=change.event.charge_nanos,
            new_charge_nanos=change.charged.nanos,
            transaction_id=posted.transactions[movement.operation_key] if movement.nanos else None,
        )
        for movement, together in movements
        for change in together
    )


def _movements(correction: Correction, changes: list[_Change]) -> list[tuple[ledger.Movement, list[_Change]]]:
    """One movement for what corrects the same ledger transaction, with its changes."""
    keys = {_operation_key(change.event) for change in changes}
    posted = dict(LedgerTransaction.objects.filter(operation_key__in=keys).values_list("operation_key", "pk"))
    groups: dict[tuple[int, date, int | None], list[_Change]] = defaultdict(list)
    for change in changes:
        # Usage that cost nothing has no transaction: what its first correction posted stands for it.
        root = posted.get(_operation_key(change.event)) or change.event.first_correction
        groups[change.event.organization_id, change.event.day, root].append(change)
    return [
        (_movement(correction, together, organization_id, day, root), together)
        for (organization_id, day, root), together in groups.items()
    ]


def _movement(
    correction: Correction, together: list[_Change], organization_id: int, day: date, root: int | None
) -> ledger.Movement:
    first = together[0].event
    return ledger.Movement(
        operation_key=f"correction:{first.id}:{first.corrections + 1}",
        kind=TransactionKind.CORRECTION,
        organization_id=organization_id,
        nanos=-sum(change.nanos for change in together),
        counter=Account.REVENUE,
        event_day=day,
        grant=ledger.GrantTerms(source=CreditGrant.Source.ADJUSTMENT, priority=20),
        reason=correction.reason,
        actor_id=correction.actor_id,
        corrects_id=root,
    )


def _operation_key(event: Standing) -> str:
    return ledger.usage_operation(event.segment_id, event.organization_id, event.day)


def _add_up(changes: list[_Change]) -> None:
    hourly: dict[tuple[datetime, Group], Sums] = defaultdict(Sums)
    daily: dict[tuple[date, Group], Sums] = defaultdict(Sums)
    for change in changes:
        event = change.event
        kind = RollupKind.CORRECTION
        group = Group(event.organization_id, event.api_key_id, event.model_id, event.route_id or 0, kind)
        new, old = change.charged.usage, event.usage
        meters = {meter: new.get(meter, 0) - old.get(meter, 0) for meter in new | old}
        failed = (change.charged.outcome != COMPLETED) - (event.outcome != COMPLETED)
        sums = Sums(0, failed, change.nanos, meters)
        hourly[event.time.replace(minute=0, second=0, microsecond=0), group].add(sums)
        daily[event.day, group].add(sums)
    if changes:
        rollups.add_hourly(hourly)
        rollups.add_daily(daily)


def _count(differences: dict[int, Difference], changes: "Iterator[_Change] | list[_Change]") -> None:
    for change in changes:
        difference = differences[change.event.organization_id]
        difference.events += 1
        difference.nanos += change.nanos
