from django.db import models
from django.db.models import Q

from hotstate.records import Limits

NAMES = Limits.__struct_fields__


class Limited(models.Model):
    """Rates that bind; null is no limit. A key's limits stand beside its organization's: both bind."""

    requests_per_minute = models.PositiveBigIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveBigIntegerField(null=True, blank=True)
    requests_per_day = models.PositiveBigIntegerField(null=True, blank=True)
    concurrent_requests = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def limits(self) -> Limits:
        return Limits(**{name: getattr(self, name) for name in NAMES})


def at_least_one(model: str) -> list[models.CheckConstraint]:
    """A limit of nothing would be a suspension by another name."""
    return [
        models.CheckConstraint(condition=Q(**{f"{name}": None}) | Q(**{f"{name}__gte": 1}), name=f"{model}_{name}")
        for name in NAMES
    ]
