"""A worker's part: portions of events, each added to the sums in the transaction that moves on."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection, transaction

from billing.forecasting.rerating import Rerating, Used, rerating_of, state_of_knowledge
from billing.forecasting.sums import SUMS
from billing.models import Forecast

# Events in a transaction, and how much time's events are looked through for them.
PORTION = 5_000
SPAN_MS = 6 * 3_600_000

SELECT = """
SELECT event.id, event.time, event.organization_id, event.model_id, event.route_id, event.outcome, event.estimated,
    event.variant, coalesce(latest.usage, event.usage)::text, coalesce(latest.new_charge_nanos, event.charge_nanos)
FROM billing_usageevent AS event
LEFT JOIN LATERAL (
    SELECT usage, new_charge_nanos FROM billing_eventcorrection WHERE event_id = event.id ORDER BY number DESC LIMIT 1
) AS latest ON true
WHERE event.id >= %s AND event.id < %s AND event.model_id = ANY(%s)
ORDER BY event.id LIMIT %s
"""
ADD = f"""
INSERT INTO billing_forecastsum AS sum (forecast_id, organization_id, model_id, route_id, {", ".join(SUMS)})
SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], {", ".join(["%s::bigint[]"] * len(SUMS))})
ON CONFLICT (forecast_id, organization_id, model_id, route_id)
DO UPDATE SET {", ".join(f"{name} = sum.{name} + excluded.{name}" for name in SUMS)}
"""  # noqa: S608  (names of ours)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Group = tuple[int, int, int | None]


def carry_out(forecast_id: int, clock: Callable[[], datetime]) -> None:
    """All portions, until it is done or somebody stopped it."""
    begun = _begin(forecast_id)
    while begun and _go_on(forecast_id, begun, clock()):
        pass


def _begin(forecast_id: int) -> Rerating | None:
    """What to rate with. Where that has changed since a killed worker's portions, they are done again."""
    with transaction.atomic():
        forecast = _locked(forecast_id)
        if forecast is None:
            return None
        known = state_of_knowledge()
        if forecast.known not in ("", known):
            forecast.sums.all().delete()
            forecast.position, forecast.done = _id(forecast.since), 0
        forecast.known, forecast.state = known, Forecast.State.RUNNING
        forecast.save()
        return rerating_of(forecast)


def _go_on(forecast_id: int, rerating: Rerating, now: datetime) -> bool:
    """The next portion; whether there may be another. Two workers at once do one after the other."""
    with transaction.atomic():
        forecast = _locked(forecast_id)
        if forecast is None:
            return False
        until = _id(forecast.until)
        end = min(UUID(int=forecast.position.int + (SPAN_MS << 80)), until)
        events = _read(forecast.position, end, list(rerating.after.timelines))
        rerating.learn({event.organization_id for event in events})
        _add(forecast, _summed(events, rerating))
        forecast.done += len(events)
        forecast.position = UUID(int=events[-1].id.int + 1) if len(events) == PORTION else end
        if forecast.position >= until:
            forecast.state, forecast.finished_at = Forecast.State.DONE, now
        forecast.save()
    return not forecast.is_finished


def _locked(forecast_id: int) -> Forecast | None:
    """None where it is over, or another worker has it in hand."""
    unfinished = Forecast.objects.select_for_update(skip_locked=True, of=("self",))
    return unfinished.select_related("draft").filter(pk=forecast_id, state__in=Forecast.UNFINISHED).first()


def _read(first: UUID, end: UUID, models: list[int]) -> list[Used]:
    with connection.cursor() as cursor:
        cursor.execute(SELECT, [first, end, models, PORTION])
        return [_used(*row) for row in cursor.fetchall()]


def _used(*row: Any) -> Used:
    *named, usage, charge = row
    return Used(*[*named, msgspec.json.decode(usage, type=dict[str, int]), charge])


def _summed(events: Iterable[Used], rerating: Rerating) -> dict[Group, list[int]]:
    sums: dict[Group, list[int]] = defaultdict(lambda: [0] * len(SUMS))
    for event in events:
        before, after, cost = rerating.without_draft(event), rerating.with_draft(event), rerating.cost(event)
        known = cost is not None
        found = (
            1,
            event.charge_nanos,
            before or 0,
            after or 0,
            cost or 0,
            known * (before or 0),
            known * (after or 0),
            before is None,
            after is None,
        )
        group = sums[event.organization_id, event.model_id, event.route_id]
        for place, value in enumerate(found):
            group[place] += value
    return sums


def _add(forecast: Forecast, sums: dict[Group, list[int]]) -> None:
    if not sums:
        return
    columns = zip(*((*group, *values) for group, values in sums.items()), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(ADD, [forecast.pk, *map(list, columns)])


def _id(moment: datetime) -> UUID:
    """The first id of a moment."""
    return UUID(int=(moment - EPOCH) // timedelta(milliseconds=1) << 80)
