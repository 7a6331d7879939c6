"""Re-rating events from their stored price version gives the stored charge."""

from collections.abc import Callable, Iterator
from datetime import date
from functools import cache

from django.db.models import Sum

from billing.meters import ZEROS
from billing.models import DailyUsage, EventCorrection, UsageEvent
from billing.proofs.shape import Extent, Finding, Proof, together
from billing.rate_card import tariffs
from billing.rating import UnpricedError, outcome_charge
from billing.tariff import Tariff

# Of each day so many events, drawn anew each day that one asks. All corrections are rated again.
SAMPLE = 20_000
CHUNK = 2_000


Tariffs = Callable[[int], Tariff]


def _check(extent: Extent) -> Finding:
    # There are few of them.
    known = cache(_tariff)
    events = together(_rerate(event, known) for day in extent.event_days for event in _sample(day, extent))
    return events + together(_rerate_correction(made, known) for made in _corrections(extent))


def _tariff(version: int) -> Tariff:
    """Raises KeyError where there is no such price version."""
    return tariffs([version])[version]


def _sample(day: date, extent: Extent) -> Iterator[UsageEvent]:
    """About SAMPLE events of a day, streamed: all, if there are fewer than twice as many."""
    rows = DailyUsage.objects.filter(day=day).aggregate(sum=Sum("events", default=0))["sum"]
    period = extent.parameters_of(day)
    drawn = UsageEvent.objects.filter(id__gte=period["first"], id__lt=period["end"]).extra(
        where=["uuid_hash_extended(id, %s) %% %s = 0"], params=[extent.now.toordinal(), max(1, rows // SAMPLE)]
    )
    return drawn.order_by("id").iterator(chunk_size=CHUNK)


def _rerate(event: UsageEvent, known: Tariffs) -> Finding:
    found = _rated(event, event.outcome, event.usage, event.price_version_id, event.multipliers, known)
    stored = (event.charge_nanos, event.reason)
    return Finding(1) if found == stored else Finding(1, 1, f"event {event.id} has {stored}, and rates at {found}")


def _rated(
    event: UsageEvent, outcome: str, usage: dict[str, int], version: int | None, multipliers: list[int], known: Tariffs
) -> tuple[int, str] | Exception:
    """Nano-dollars and the reason, or why it can't be rated."""
    try:
        tariff, counted = known(version or 0), ZEROS | usage
        return outcome_charge(
            outcome,
            counted,
            tariff,
            estimated=event.estimated,
            multipliers=multipliers,
            variant=event.variant,
        )
    except KeyError:
        return LookupError(f"there is no price version {version}")
    except (UnpricedError, OverflowError) as error:
        return error


def _corrections(extent: Extent) -> Iterator[tuple[EventCorrection, UsageEvent]]:
    made = EventCorrection.objects.order_by("event_id", "number")
    if extent.day:
        made = made.filter(event_day=extent.day)
    chunk: list[EventCorrection] = []
    for correction in made.iterator(chunk_size=CHUNK):
        chunk.append(correction)
        if len(chunk) == CHUNK:
            yield from _with_events(chunk)
            chunk = []
    yield from _with_events(chunk)


def _with_events(made: list[EventCorrection]) -> Iterator[tuple[EventCorrection, UsageEvent]]:
    events = UsageEvent.objects.in_bulk({correction.event_id for correction in made})
    return ((correction, events[correction.event_id]) for correction in made if correction.event_id in events)


def _rerate_correction(pair: tuple[EventCorrection, UsageEvent], known: Tariffs) -> Finding:
    made, event = pair
    multipliers = event.multipliers if made.multipliers is None else made.multipliers
    found = _rated(event, made.outcome or event.outcome, made.usage, made.price_version_id, multipliers, known)
    if isinstance(found, tuple) and found[0] == made.new_charge_nanos:
        return Finding(1)
    told = f"correction {made.number} of event {event.id} has {made.new_charge_nanos}, and rates at {found}"
    return Finding(1, 1, told)


PROOFS = [
    Proof("rerating", "Events rated again by the price version that they name cost what they were charged.", _check)
]
