from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.models.price import PriceList, PriceVersion
from catalog.models import Model


class PriceDraft(models.Model):
    """Price changes that one of staff collects. Published together, or not at all; what it was stays to be read."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        PUBLISHED = "published", "Published"
        DISCARDED = "discarded", "Discarded"

    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    # Grows with each change of the lines: a forecast is of one revision.
    revision = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField()
    # Once published: when the prices start, and why.
    effective_from = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300, blank=True)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["created_by"], condition=Q(state="open"), name="one_open_price_draft_of_a_person"
            )
        ]

    def __str__(self) -> str:
        return f"draft {self.pk} of {self.created_by}"

    @property
    def is_open(self) -> bool:
        return self.state == self.State.OPEN

    def touch(self, now: datetime) -> None:
        """The lines change: forecasts of what they were are of the past."""
        self.revision += 1
        self.changed_at = now
        self.save(update_fields=["revision", "changed_at"])


class DraftLine(models.Model):
    """A whole price version that a draft would publish: of one model in one price list, null being the public one."""

    draft = models.ForeignKey(PriceDraft, on_delete=models.CASCADE, related_name="lines")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="+")
    price_list = models.ForeignKey(PriceList, null=True, on_delete=models.PROTECT, related_name="+")
    # As `tariff.UnitPrice`: [[meter, nano-dollars, per so many units, from_input_tokens, variant], …], sorted.
    prices = models.JSONField()
    off_peak = models.JSONField(default=list)
    # What was in force when the line was begun: published only over that, so that nobody's change is lost.
    based_on = models.ForeignKey(PriceVersion, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["draft", "model", "price_list"], nulls_distinct=False, name="one_draft_line_of_a_model"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} in {self.price_list or 'the public list'}"
