from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import Organization
from billing.models.draft import PriceDraft
from catalog.models import Model, Route


class Forecast(models.Model):
    """What a draft would have made of past usage, found by portions. Killed, it goes on where it was."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting for a worker"
        RUNNING = "running", "Under way"
        DONE = "done", "Done"
        CANCELLED = "cancelled", "Cancelled"
        # The draft changed meanwhile, or was closed.
        SUPERSEDED = "superseded", "Superseded"

    UNFINISHED = (State.WAITING, State.RUNNING)

    draft = models.ForeignKey(PriceDraft, on_delete=models.CASCADE, related_name="forecasts")
    # Of the draft, when this was asked for.
    revision = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    # Usage from `since` until `until`, rated by the prices and terms of the moment `at`.
    since = models.DateTimeField()
    until = models.DateTimeField()
    at = models.DateTimeField()
    # Which prices, terms and costs there were when a worker began.
    known = models.CharField(max_length=80, blank=True)
    # Events before this id are done.
    position = models.UUIDField()
    done = models.BigIntegerField(default=0)
    # About so many there are, by the rollups.
    total = models.BigIntegerField(default=0)
    # What models that the draft doesn't name were charged.
    other_nanos = models.BigIntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["waiting", "running"]), name="forecasts_unfinished")
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["draft"], condition=Q(state__in=["waiting", "running"]), name="one_forecast_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"forecast {self.pk} of {self.draft}"

    @property
    def is_finished(self) -> bool:
        return self.state not in self.UNFINISHED


def _to(model: type[models.Model], *, null: bool = False) -> "models.ForeignKey[Any, Any]":
    return models.ForeignKey(
        model, null=null, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )


class ForecastSum(models.Model):
    """Sums over an organization's events of one model and route: nano-dollars."""

    forecast = models.ForeignKey(Forecast, on_delete=models.CASCADE, related_name="sums")
    organization = _to(Organization)
    model = _to(Model)
    route = _to(Route, null=True)
    events = models.BigIntegerField(default=0)
    # As the books have them, corrections included.
    charged_nanos = models.BigIntegerField(default=0)
    # By the prices and terms of the moment, without the draft and with it.
    before_nanos = models.BigIntegerField(default=0)
    after_nanos = models.BigIntegerField(default=0)
    # What they would cost us, and what of the above is of events whose cost is known.
    cost_nanos = models.BigIntegerField(default=0)
    costed_before_nanos = models.BigIntegerField(default=0)
    costed_after_nanos = models.BigIntegerField(default=0)
    # Events that would have no price: their lines would go into quarantine.
    unpriced_before = models.BigIntegerField(default=0)
    unpriced_after = models.BigIntegerField(default=0)
    if TYPE_CHECKING:
        model_id: int

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["forecast", "organization", "model", "route"], nulls_distinct=False, name="one_forecast_sum"
            )
        ]

    def __str__(self) -> str:
        return f"{self.events} events, {self.before_nanos} → {self.after_nanos} nano-dollars"
