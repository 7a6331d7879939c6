"""Plans that begin with a payment."""

from django.db import models

from billing.models.payment import TopUp
from billing.models.plan import PlanVersion, Subscription


class PlanPromise(models.Model):
    """A plan whose first period a top-up is for: it begins when that is paid, in the same transaction."""

    top_up = models.OneToOneField(TopUp, on_delete=models.PROTECT, related_name="plan_promise")
    version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="+")
    # Null until it has begun; for ever, where another way was quicker or it couldn't.
    began = models.OneToOneField(Subscription, null=True, on_delete=models.PROTECT, related_name="+")

    def __str__(self) -> str:
        return f"{self.version_id} with {self.top_up_id}"
