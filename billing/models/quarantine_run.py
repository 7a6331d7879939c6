from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.models.segment import QuarantinedLine


class QuarantineRun(models.Model):
    """Replaying or discarding all quarantined lines of a kind, by portions. Killed, it goes on where it was."""

    class Action(models.TextChoices):
        REPLAY = "replay", "Replay"
        DISCARD = "discard", "Discard"

    action = models.CharField(max_length=8, choices=Action.choices)
    # The kind: empty is any.
    reason = models.CharField(max_length=20)
    detail = models.CharField(max_length=300, blank=True)
    source = models.CharField(max_length=80, blank=True)
    # Lines quarantined later, by the replay itself too, are not of this run.
    through = models.ForeignKey(QuarantinedLine, on_delete=models.PROTECT, related_name="+")
    # For lines that their sender may not write for the organization they name: a person said that it's right.
    foreign_allowed = models.BooleanField(default=False)
    note = models.CharField(max_length=300, blank=True)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    total = models.IntegerField()
    done = models.IntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["id"], condition=Q(finished_at=None), name="quarantine_runs_unfinished")]
        constraints = [
            models.UniqueConstraint(
                fields=["reason", "detail", "source"],
                condition=Q(finished_at=None),
                name="one_quarantine_run_of_a_kind",
            )
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.reason}"
