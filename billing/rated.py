"""Lines → events with their charge, or the reason why there is none."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, Self
from uuid import UUID

from accounts.models import ApiKey, ApiKeySecret
from billing.closing import closed_among
from billing.lines import LineError, UsageLine, number_of, parse
from billing.models import QuarantineReason, RollupKind, Segment
from billing.partitions import partition_days
from billing.prices import RateCard, rate_card
from billing.rating import UnpricedError, outcome_charge
from catalog.models import Model, Route

AHEAD = timedelta(minutes=5)
LONGEST = timedelta(days=1)
# $10,000. No request costs that, and the charges of a segment must fit a BIGINT: 64 MiB hold fewer than
# 920,000 lines of at least 73 bytes, and 920,000 × 10**13 nano-dollars < 2**63. At $1,000,000 they would not.
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


class _Key(NamedTuple):
    pk: int
    organization_id: int
    organization: str


@dataclass(frozen=True)
class Rater:
    """What is needed to rate the lines of a segment."""

    segment: Segment
    now: datetime
    days: set[date]
    closed: set[date]

    @classmethod
    def for_segment(cls, segment: Segment, now: datetime) -> Self:
        days = partition_days()
        return cls(segment, now, days, closed_among(days))

    def rate(self, raw_lines: list[bytes]) -> Iterator[RatedEvent | Quarantined]:
        """One result per line, those that can't be read first."""
        parsed: list[tuple[int, bytes, UsageLine]] = []
        for number, raw in enumerate(raw_lines, 1):
            try:
                parsed.append((number, raw, parse(raw)))
            except LineError as error:
                torn = number == len(raw_lines) and not raw.endswith(b"}")
                reason = QuarantineReason.TORN if torn else QuarantineReason.MALFORMED
                yield Quarantined(number, raw, reason, str(error), self._seq(*(number_of(raw) or ("", None))))
        known = _Known.of(line for _, _, line in parsed)
        for number, raw, line in parsed:
            try:
                yield self._event(number, line, known)
            except _Refused as refused:
                yield Quarantined(number, raw, refused.reason, refused.detail, self._seq(line.source, line.seq))

    def _seq(self, source: str, seq: int | None) -> int | None:
        """Another source's numbers say nothing about this one's gaps."""
        return seq if source == self.segment.source else None

    def _event(self, number: int, line: UsageLine, known: "_Known") -> RatedEvent:
        # UTC, and to the millisecond, as its id has it.
        time = datetime.fromtimestamp((line.id.int >> 80) / 1000, UTC)
        if line.source != self.segment.source:
            raise _Refused(QuarantineReason.WRONG_SOURCE, f"{line.source} in a segment of {self.segment.source}")
        if time > self.now + AHEAD:
            raise _Refused(QuarantineReason.TOO_EARLY, f"{time.isoformat()} is ahead of our clock")
        if time.date() not in self.days:
            raise _Refused(QuarantineReason.TOO_OLD, f"there is no partition for {time.date()} any more")
        key = known.keys.get(line.key)
        if key is None:
            raise _Refused(QuarantineReason.UNKNOWN_KEY, line.key)
        if line.org and line.org != key.organization:
            raise _Refused(QuarantineReason.WRONG_ORGANIZATION, f"{line.key} is not of {line.org}")
        if self.segment.organizations and key.organization not in self.segment.organizations:
            detail = f"{line.key} is of {key.organization}, and the sender's credential isn't bound to that"
            raise _Refused(QuarantineReason.FOREIGN_ORGANIZATION, detail)
        model_id = known.models.get(line.model)
        if model_id is None:
            raise _Refused(QuarantineReason.UNKNOWN_MODEL, line.model)
        tariff = known.rate_card.tariff(model_id, time)
        if tariff is None:
            raise _Refused(QuarantineReason.UNPRICED, f"{line.model} had no price at {time.isoformat()}")
        try:
            nanos, reason = outcome_charge(line.outcome, line.usage, tariff, estimated=line.estimated)
        except UnpricedError as error:
            raise _Refused(QuarantineReason.UNPRICED, f"{line.model}: {error}") from error
        except OverflowError as error:
            raise _Refused(QuarantineReason.IMPLAUSIBLE, str(error)) from error
        if nanos > MOST_PER_REQUEST:
            raise _Refused(QuarantineReason.IMPLAUSIBLE, f"a charge of {nanos} nano-dollars for one request")
        return RatedEvent(
            id=line.id,
            time=time,
            organization_id=key.organization_id,
            api_key_id=key.pk,
            secret_id=known.secrets.get(line.secret),
            model_id=model_id,
            route_id=known.routes.get(line.route),
            segment_id=self.segment.pk,
            line=number,
            source=line.source,
            seq=line.seq,
            endpoint=line.endpoint,
            status=line.status,
            outcome=line.outcome,
            stream=line.stream,
            estimated=line.estimated,
            variant=line.variant,
            duration_ms=duration_ms(time, line.ended),
            ttft_ms=line.ttft_ms,
            attempts=line.attempts,
            upstream_request_id=line.upstream_request_id,
            usage={meter: units for meter, units in line.usage.items() if units},
            price_version_id=tariff.version,
            multipliers=[],
            charge_nanos=nanos,
            reason=reason,
            kind=RollupKind.ADJUSTMENT if time.date() in self.closed else RollupKind.USAGE,
            estimator=line.estimator,
            claimed_nanos=line.charge_nanos,
        )


def duration_ms(started: datetime, ended: datetime | None) -> int | None:
    """How long a request took; None where its end is unknown, before its start or more than a day after it.

    The charge doesn't depend on it, so a wrong clock costs the line this value only.
    """
    if ended is None or not timedelta(0) <= ended - started <= LONGEST:
        return None
    return (ended - started) // timedelta(milliseconds=1)


class _Refused(Exception):
    def __init__(self, reason: QuarantineReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class _Known:
    """What the lines name, looked up together."""

    keys: dict[str, _Key]
    secrets: dict[str, int]
    models: dict[str, int]
    routes: dict[str, int]
    rate_card: RateCard

    @classmethod
    def of(cls, lines: Iterable[UsageLine]) -> Self:
        keys, secrets, models = set(), set(), set()
        for line in lines:
            keys.add(line.key)
            secrets.add(line.secret)
            models.add(line.model)
        found = ApiKey.objects.filter(public_id__in=keys)
        model_ids = dict(Model.objects.filter(public_id__in=models).values_list("public_id", "pk"))
        routes = Route.objects.filter(model_id__in=model_ids.values()).values_list("pk", flat=True)
        return cls(
            keys={
                public_id: _Key(pk, organization_id, organization)
                for public_id, pk, organization_id, organization in found.values_list(
                    "public_id", "pk", "organization_id", "organization__public_id"
                )
            },
            secrets=dict(ApiKeySecret.objects.filter(public_id__in=secrets).values_list("public_id", "pk")),
            models=model_ids,
            routes={str(pk): pk for pk in routes},
            rate_card=rate_card(model_ids.values()),
        )
