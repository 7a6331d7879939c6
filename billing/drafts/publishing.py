"""A draft published: all of its lines or none. Or discarded."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.db import OperationalError, transaction
from psycopg.errors import LockNotAvailable

from accounts.models import User, audit
from billing.drafts.editing import lock, supersede_forecasts
from billing.drafts.versions import Place, versions_at, wanted_of_line
from billing.models import DraftLine, Price, PriceDraft, PriceVersion
from billing.price_rules import PriceError
from billing.prices import NOTICE, told_all, written
from catalog.changes import announce
from catalog.models import Model

# Writing a version takes its time, and all have to be there before they start.
OF_EACH_LINE = timedelta(milliseconds=20)
# Gateways read the catalogue anew within this of the commit.
LEAST_AHEAD = timedelta(seconds=1)


class StaleError(PriceError):
    """Prices changed, or will have, since lines were begun over them. `lines` are those."""

    def __init__(self, lines: list[DraftLine]) -> None:
        names = ", ".join(sorted(line.model.public_id for line in lines)[:5])
        more = f" and {len(lines) - 5} more" if len(lines) > 5 else ""
        super().__init__(
            f"Other prices of {names}{more} would be in force by then than those that this draft was begun over."
        )
        self.lines = lines


def notice(lines: int) -> timedelta:
    """How far ahead so many versions start at the soonest."""
    return NOTICE + lines * OF_EACH_LINE


def publish(
    draft: PriceDraft, *, effective_from: datetime | None, actor: User, reason: str, clock: Callable[[], datetime]
) -> datetime:
    """Publish all lines, in force from a moment or as soon as gateways can know; return when. Raises PriceError, having
    published nothing. The caller commits at once."""
    now = clock()
    with transaction.atomic():
        locked = lock(draft.pk)
        lines = list(locked.lines.select_related("model", "price_list").order_by("model_id", "price_list_id"))
        if not lines:
            raise PriceError("There is nothing in this draft.")
        soonest = now + notice(len(lines))
        starts = effective_from or soonest
        if starts < soonest:
            raise PriceError("Prices can't start in the past, nor sooner than gateways know them.")
        _lock_models({line.model_id for line in lines})
        before = versions_at(starts, [line.model_id for line in lines])
        if stale := [line for line in lines if _pk(before.get(_place(line))) != line.based_on_id]:
            raise StaleError(stale)
        _write(lines, starts, actor=actor, reason=reason, now=now)
        audit.record_all(_entries(lines, before, starts), actor=actor, reason=reason, now=now)
        locked.state, locked.effective_from, locked.reason = PriceDraft.State.PUBLISHED, starts, reason
        _close(locked, actor, now)
        announce(now)
        # Committed later, gateways would charge the first requests by the old prices, and workers by the new ones.
        if clock() > starts - LEAST_AHEAD:
            raise PriceError("Publishing took too long, so nothing was published. Try again, or set a later start.")
    return starts


def discard(draft: PriceDraft, *, actor: User, now: datetime) -> None:
    """Nothing of it will be. Raises ClosedError."""
    with transaction.atomic():
        locked = lock(draft.pk)
        locked.state = PriceDraft.State.DISCARDED
        _close(locked, actor, now)
        audit.record(
            "prices.discard_draft", f"draft:{locked.pk}", actor=actor, before={"lines": locked.lines.count()}, now=now
        )


def _close(draft: PriceDraft, actor: User, now: datetime) -> None:
    draft.closed_at, draft.closed_by = now, actor
    draft.save()
    supersede_forecasts(draft, now)


def _lock_models(models: Iterable[int]) -> None:
    """As `prices.lock`, many: in order, waiting for nobody."""
    try:
        list(Model.objects.select_for_update(nowait=True, no_key=True).filter(pk__in=models).order_by("pk"))
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise PriceError("Somebody else is changing one of these models at this moment: try again.") from error


def _write(lines: list[DraftLine], starts: datetime, *, actor: User, reason: str, now: datetime) -> None:
    of_places = {_place(line) for line in lines}
    together = PriceVersion.objects.standing().filter(
        effective_from=starts, model_id__in={model for model, _ in of_places}
    )
    standing = together.values_list("pk", "model_id", "price_list_id")
    superseded = [pk for pk, model, price_list in standing if (model, price_list) in of_places]
    PriceVersion.objects.filter(pk__in=superseded).update(superseded_at=now)
    versions = PriceVersion.objects.bulk_create(
        PriceVersion(
            model_id=line.model_id,
            price_list_id=line.price_list_id,
            off_peak=line.off_peak,
            effective_from=starts,
            created_at=now,
            created_by=actor,
            reason=reason,
        )
        for line in lines
    )
    Price.objects.bulk_create(
        Price(version=version, **price._asdict())
        for line, version in zip(lines, versions, strict=True)
        for price in wanted_of_line(line).prices
    )


def _entries(
    lines: list[DraftLine], before: dict[Place, PriceVersion], starts: datetime
) -> Iterable[tuple[str, str, dict[str, object], dict[str, object]]]:
    """As `prices.publish_prices` leaves them: one for each model and list."""
    for line in lines:
        wanted = wanted_of_line(line)
        after = told_all(wanted.prices, wanted.off_peak) | {"effective_from": starts.isoformat()}
        if line.price_list:
            after["price_list"] = line.price_list.name
        yield "prices.publish", line.model.public_id, written(before.get(_place(line))), after


def _place(line: DraftLine) -> Place:
    return line.model_id, line.price_list_id


def _pk(version: PriceVersion | None) -> int | None:
    return version.pk if version else None
