"""Lines → events with their charge, or the reason why there is none."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, Self
from uuid import UUID

from billing import lines, stored
from billing.closing import closed_among
from billing.known import Key, Known
from billing.lines import LONGEST_LINE, LineError, UsageLine, number_of
from billing.models import QuarantineReason, RollupKind, Segment
from billing.partitions import partition_days
from billing.prices import NOTICE
from billing.rate_card import Priced
from billing.rating import UnpricedError, outcome_charge
from billing.terms import NO_TERMS, in_force

AHEAD = timedelta(minutes=5)
LONGEST = timedelta(days=1)
EPOCH = date(1970, 1, 1)
DAY_MS = 86_400_000
# $10,000. No request costs that, and the charges of a segment must fit a BIGINT: 64 MiB hold fewer than
# 920,000 lines of at least 73 bytes, and 920,000 × 10**13 nano-dollars < 2**63. At $1,000,000 they would not. What the
# sums of many segments can't hold waits (billing.fullness).
MOST_PER_REQUEST = 10_000 * 10**9


class RatedEvent(NamedTuple):
    """A usage event, its columns in the table's order; then what the gateway said it costs."""

    id: UUID
    time: datetime
    organization_id: int
    api_key_id: int
    secret_id: int | None
    model_id: int
    route_id: int | None
    segment_id: int
    line: int
    source: str
    seq: int
    endpoint: str
    status: int
    outcome: str
    stream: bool
    estimated: bool
    variant: str
    duration_ms: int | None
    ttft_ms: int | None
    attempts: int
    upstream_request_id: str
    usage: dict[str, int]
    price_version_id: int | None
    multipliers: list[int]
    charge_nanos: int
    reason: str
    kind: RollupKind
    estimator: int
    claimed_nanos: int | None


class Quarantined(NamedTuple):
    """A line that can't be charged. `seq` is its number among those of the segment's source, where it has one."""

    line: int
    raw: bytes
    reason: QuarantineReason
    detail: str
    seq: int | None


@dataclass
class Rater:
    """What is needed to rate the lines of a segment."""

    segment: Segment
    now: datetime
    # Days that have a partition, by number since 1970, and what an event of that day is.
    days: dict[int, RollupKind]
    # Organizations whose sums can't hold more.
    full: frozenset[int] = frozenset()
    known: Known = field(default_factory=Known)
    # What upstreams store, of the lines that `rate` had last.
    noted: list[stored.Row] = field(default_factory=list)
    latest: datetime = field(init=False)
    due: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.latest = self.now + AHEAD
        self.due = self.now + NOTICE

    @classmethod
    def for_segment(cls, segment: Segment, now: datetime, full: frozenset[int] = frozenset()) -> Self:
        days = partition_days()
        closed = closed_among(days)
        kinds = {day: RollupKind.ADJUSTMENT if day in closed else RollupKind.USAGE for day in days}
        return cls(segment, now, {(day - EPOCH).days: kind for day, kind in kinds.items()}, full)

    def rate(self, raw_lines: list[bytes], *, first: int = 1, last: bool = True) -> Iterator[RatedEvent | Quarantined]:
        """One result per line, those that can't be read first. `first` is the first one's number, `last` whether the
        segment ends with them."""
        parsed: list[tuple[int, bytes, UsageLine]] = []
        self.noted = []
        parse = lines.parse if self.segment.origin == Segment.Origin.GATEWAY else lines.parse_strictly
        for number, raw in enumerate(raw_lines, first):
            try:
                parsed.append((number, raw, parse(raw)))
            except LineError as error:
                ends = last and number == first + len(raw_lines) - 1
                torn = ends and not raw.endswith(b"}") and len(raw) <= LONGEST_LINE
                reason = QuarantineReason.TORN if torn else QuarantineReason.MALFORMED
                yield Quarantined(number, raw, reason, str(error), self._seq(*(number_of(raw) or ("", None))))
        self.known.learn(line for _, _, line in parsed)
        for number, raw, line in parsed:
            try:
                yield self._event(number, line)
            except _Refused as refused:
                yield Quarantined(number, raw, refused.reason, refused.detail, self._seq(line.source, line.seq))

    def _seq(self, source: str, seq: int | None) -> int | None:
        """Another source's numbers say nothing about this one's gaps."""
        return seq if source == self.segment.source else None

    def _event(self, number: int, line: UsageLine) -> RatedEvent:
        ms = line.id.int >> 80
        # UTC, and to the millisecond, as its id has it.
        time = line.time
        if time.tzinfo is not UTC or time.microsecond % 1000:
            time = datetime.fromtimestamp((line.id.int >> 80) / 1000, UTC)
        kind = self._kind(line, time, ms)
        key = self._key(line)
        model_id = self.known.models.get(line.model)
        if model_id is None:
            raise _Refused(QuarantineReason.UNKNOWN_MODEL, line.model)
        history = self.known.terms.get(key.organization_id)
        priced = self.known.rate_card.tariff(model_id, time, in_force(history, ms) if history else NO_TERMS)
        if priced is None:
            raise _Refused(QuarantineReason.UNPRICED, f"{line.model} had no price at {time.isoformat()}")
        nanos, reason = _charge(line, priced)
        if line.stored and (row := stored.row_of(line, key, time)):
            self.noted.append(row)
        usage: dict[str, int] = line.usage
        return RatedEvent(
            line.id,
            time,
            key.organization_id,
            key.pk,
            self.known.secrets.get((key.pk, line.secret)),
            model_id,
            self.known.routes.get((model_id, line.route)),
            self.segment.pk,
            number,
            line.source,
            line.seq,
            line.endpoint,
            line.status,
            line.outcome,
            line.stream,
            line.estimated,
            line.variant,
            duration_ms(time, line.ended) if line.ended else None,
            line.ttft_ms,
            line.attempts,
            line.upstream_request_id,
            usage if all(usage.values()) else {meter: units for meter, units in usage.items() if units},
            priced.tariff.version,
            priced.multipliers,
            nanos,
            reason,
            kind,
            line.estimator,
            line.charge_nanos,
        )

    def _kind(self, line: UsageLine, time: datetime, ms: int) -> RollupKind:
        if line.source != self.segment.source:
            raise _Refused(QuarantineReason.WRONG_SOURCE, f"{line.source} in a segment of {self.segment.source}")
        if time > self.latest:
            raise _Refused(QuarantineReason.TOO_EARLY, f"{time.isoformat()} is ahead of our clock")
        if time > self.due:
            raise NotYetError(f"a line of {time.isoformat()}, when prices may still change")
        kind = self.days.get(ms // DAY_MS)
        if kind is None:
            raise _Refused(QuarantineReason.TOO_OLD, f"there is no partition for {time.date()} any more")
        return kind

    def _key(self, line: UsageLine) -> Key:
        key = self.known.keys.get(line.key)
        if key is None:
            raise _Refused(QuarantineReason.UNKNOWN_KEY, line.key)
        if line.org and line.org != key.organization:
            raise _Refused(QuarantineReason.WRONG_ORGANIZATION, f"{line.key} is not of {line.org}")
        if self.segment.organizations and key.organization not in self.segment.organizations:
            detail = f"{line.key} is of {key.organization}, and the sender's credential isn't bound to that"
            raise _Refused(QuarantineReason.FOREIGN_ORGANIZATION, detail)
        if key.organization_id in self.full:
            raise _Refused(QuarantineReason.IMPLAUSIBLE, f"what {key.organization} used can't be counted any more")
        return key


def _charge(line: UsageLine, priced: Priced) -> tuple[int, str]:
    tariff, multipliers = priced
    try:
        nanos, reason = outcome_charge(
            line.outcome,
            line.usage,
            tariff,
            estimated=line.estimated,
            multipliers=multipliers,
            variant=line.variant,
        )
    except UnpricedError as error:
        raise _Refused(QuarantineReason.UNPRICED, f"{line.model}: {error}") from error
    except OverflowError as error:
        raise _Refused(QuarantineReason.IMPLAUSIBLE, str(error)) from error
    if nanos > MOST_PER_REQUEST:
        raise _Refused(QuarantineReason.IMPLAUSIBLE, f"a charge of {nanos} nano-dollars for one request")
    return nanos, reason


def duration_ms(started: datetime, ended: datetime | None) -> int | None:
    """How long a request took; None where its end is unknown, before its start or more than a day after it.

    The charge doesn't depend on it, so a wrong clock costs the line this value only.
    """
    if ended is None or not timedelta(0) <= ended - started <= LONGEST:
        return None
    return (ended - started) // timedelta(milliseconds=1)


class NotYetError(Exception):
    """A line is so far ahead of our clock that the price of its time isn't settled: its segment waits until it is."""


class _Refused(Exception):
    def __init__(self, reason: QuarantineReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
