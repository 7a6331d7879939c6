"""Changing a draft. It is locked meanwhile, and forecasts of what it was are superseded."""

from collections.abc import Callable, Mapping
from datetime import datetime

from django.db import transaction

from accounts.models import User
from billing.drafts.versions import Place, Wanted, versions_at, wanted_of_line, wanted_of_version
from billing.models import DraftLine, Forecast, PriceDraft
from billing.price_rules import PriceError, validate
from catalog.models import Model

Change = Callable[[Wanted], Wanted]


class ChangedError(PriceError):
    """The draft isn't any more what was looked at."""


class ClosedError(PriceError):
    """The draft was published or discarded meanwhile."""


def draft_of(person: User) -> PriceDraft | None:
    """The open draft of one of staff."""
    return PriceDraft.objects.filter(created_by=person, state=PriceDraft.State.OPEN).first()


def open_draft(person: User, now: datetime) -> PriceDraft:
    """The one that is open, or a new one. Two requests at once get the same."""
    draft, _ = PriceDraft.objects.get_or_create(
        created_by=person, state=PriceDraft.State.OPEN, defaults={"created_at": now, "changed_at": now}
    )
    return draft


def put(draft: PriceDraft, lines: Mapping[Place, Wanted], now: datetime) -> int:
    """Let the draft have these versions; what is in force already needs no line. Raises PriceError; returns how many
    lines there are of these then."""
    return _change(draft, {place: _replaced_by(wanted) for place, wanted in lines.items()}, now)


def change(draft: PriceDraft, place: Place, how: Change, now: datetime) -> None:
    """Change what the draft has of a place, or what is in force there. Raises PriceError."""
    _change(draft, {place: how}, now)


def change_all(
    draft: PriceDraft, places: list[Place], how: Change, now: datetime, *, revision: int | None = None
) -> int:
    """The same change of many places, all or none of them. Of a named revision only, it is made once, also sent twice.

    Raises PriceError; returns how many lines there are then.
    """
    return _change(draft, dict.fromkeys(places, how), now, revision=revision)


def remove(draft: PriceDraft, line_id: int, now: datetime) -> None:
    """Leave a model's prices as they are."""
    with transaction.atomic():
        locked = lock(draft.pk)
        locked.lines.filter(pk=line_id).delete()
        touch(locked, now)


def keep_over_newer(draft: PriceDraft, at: datetime, now: datetime) -> None:
    """Let all lines stand over what is in force at that moment: somebody looked at the difference."""
    with transaction.atomic():
        locked = lock(draft.pk)
        lines = list(locked.lines.all())
        versions = versions_at(at, [line.model_id for line in lines])
        for line in lines:
            line.based_on = versions.get((line.model_id, line.price_list_id))
        DraftLine.objects.bulk_update(lines, ["based_on"])
        touch(locked, now)


def lock(draft_id: int) -> PriceDraft:
    """The draft, locked in the caller's transaction. Raises ClosedError."""
    draft = PriceDraft.objects.select_for_update(no_key=True).select_related(None).get(pk=draft_id)
    if not draft.is_open:
        raise ClosedError(f"This draft was {draft.get_state_display().lower()} meanwhile.")
    return draft


def touch(draft: PriceDraft, now: datetime) -> None:
    draft.touch(now)
    supersede_forecasts(draft, now)


def supersede_forecasts(draft: PriceDraft, now: datetime) -> None:
    """What is being forecast is over."""
    running = draft.forecasts.filter(state__in=Forecast.UNFINISHED)
    running.update(state=Forecast.State.SUPERSEDED, finished_at=now)


def _change(draft: PriceDraft, changes: Mapping[Place, Change], now: datetime, *, revision: int | None = None) -> int:
    with transaction.atomic():
        locked = lock(draft.pk)
        if revision not in (None, locked.revision):
            raise ChangedError("Your draft has changed since: look at the prices again.")
        models = {model for model, _ in changes}
        kept = {(line.model_id, line.price_list_id): line for line in locked.lines.filter(model_id__in=models)}
        versions = versions_at(now, models)
        gone, new = [], []
        for place, how in changes.items():
            line, version = kept.get(place), versions.get(place)
            before = wanted_of_version(version)
            wanted = how(wanted_of_line(line) if line else before)
            if line is not None:
                gone.append(line.pk)
            if wanted == before:
                continue
            _check(place, wanted)
            new.append(
                DraftLine(
                    draft=locked,
                    model_id=place[0],
                    price_list_id=place[1],
                    prices=[list(price) for price in wanted.prices],
                    off_peak=list(wanted.off_peak),
                    based_on=line.based_on if line else version,
                )
            )
        DraftLine.objects.filter(pk__in=gone).delete()
        DraftLine.objects.bulk_create(new)
        touch(locked, now)
    draft.revision, draft.changed_at = locked.revision, locked.changed_at
    return len(new)


def _replaced_by(wanted: Wanted) -> Change:
    return lambda _: wanted


def _check(place: Place, wanted: Wanted) -> None:
    """Raises PriceError, which names the model: it may be one of three hundred."""
    if not wanted.prices and place[1] is not None:
        return
    try:
        validate(wanted.prices, wanted.off_peak)
    except PriceError as error:
        raise PriceError(f"{Model.objects.get(pk=place[0])}: {error}") from error
