"""What is done by night: a run per UTC date, a row per step."""

from typing import Any

from django.db import models


class NightlyRunQuerySet(models.QuerySet["NightlyRun"]):
    def unfinished(self) -> "NightlyRunQuerySet":
        return self.filter(finished_at=None)


class NightlyRun(models.Model):
    """The night that begins a UTC date: the day before is closed, everything is proved, and what follows from it."""

    night = models.DateField(unique=True)
    started_at = models.DateTimeField()
    # When every step was done; empty again where one is to be done once more.
    finished_at = models.DateTimeField(null=True)

    objects = NightlyRunQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["night"], condition=models.Q(finished_at=None), name="nightly_runs_unfinished")]

    def __str__(self) -> str:
        return str(self.night)


class NightlyStep(models.Model):
    """One step of a run and what came of it. A step that is done again finds nothing left to do."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Under way"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    run = models.ForeignKey(NightlyRun, on_delete=models.CASCADE, related_name="steps")
    # Of billing.nightly.registry.
    name = models.CharField(max_length=40)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # Of the last time that it was done: words or numbers by name.
    result: "models.JSONField[dict[str, Any], dict[str, Any]]" = models.JSONField(default=dict)
    # Why it waits or failed, in words.
    error = models.TextField(blank=True)
    # How often it was begun.
    attempts = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="one_step_of_a_name_per_run")]

    def __str__(self) -> str:
        return f"{self.run}: {self.name} {self.state}"
