"""Asking for a forecast, and stopping it."""

from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Sum

from accounts.models import User
from billing.drafts.editing import lock, supersede_forecasts
from billing.drafts.publishing import notice
from billing.models import DailyUsage, Forecast, PriceDraft
from billing.partitions import first_id
from billing.price_rules import PriceError
from config import enqueue

# UTC days, today included.
DAYS = 30


def ask(draft: PriceDraft, *, actor: User, now: datetime, at: datetime | None = None) -> Forecast:
    """Begin a forecast of a draft that would start at a moment, or as soon as it can. What is under way is superseded.

    Raises PriceError.
    """
    from billing.tasks import run_forecast

    with transaction.atomic():
        locked = lock(draft.pk)
        models = set(locked.lines.values_list("model_id", flat=True))
        if not models:
            raise PriceError("There is nothing in this draft.")
        supersede_forecasts(locked, now)
        today = now.astimezone(UTC).date()
        since = today - timedelta(days=DAYS - 1)
        usage = DailyUsage.objects.filter(day__range=(since, today))
        forecast = Forecast.objects.create(
            draft=locked,
            revision=locked.revision,
            asked_by=actor,
            asked_at=now,
            since=datetime(since.year, since.month, since.day, tzinfo=UTC),
            until=now,
            at=max(at or now, now + notice(len(models))),
            position=first_id(since),
            total=usage.filter(model_id__in=models).aggregate(sum=Sum("events", default=0))["sum"],
            other_nanos=usage.exclude(model_id__in=models).aggregate(sum=Sum("charge_nanos", default=0))["sum"],
        )
        enqueue.after_commit(run_forecast, forecast.pk)
    return forecast


def cancel(draft: PriceDraft, now: datetime) -> bool:
    """Stop what is under way; whether something was. Its portion at hand is waited for."""
    running = draft.forecasts.filter(state__in=Forecast.UNFINISHED)
    return bool(running.update(state=Forecast.State.CANCELLED, finished_at=now))
