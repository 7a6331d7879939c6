from django.db import models
from django.db.models import Q


class ProofRun(models.Model):
    """The books were proved, or are to be: by night, or because somebody asked."""

    asked_at = models.DateTimeField()
    asked_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    # The UTC date of a nightly run; there is one.
    night = models.DateField(null=True, unique=True)
    # Only what belongs to this day, or everything.
    day = models.DateField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    ok = models.BooleanField(null=True)
    # How many holds had lapsed since Valkey counts; null where it couldn't be asked.
    lapsed_holds = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["day"],
                condition=Q(finished_at=None, night=None),
                nulls_distinct=False,
                name="one_proof_run_asked_for",
            )
        ]

    def __str__(self) -> str:
        return f"{self.day or 'everything'}, asked {self.asked_at:%Y-%m-%d %H:%M}"


class ProofResult(models.Model):
    """What one proof of a run found."""

    run = models.ForeignKey(ProofRun, on_delete=models.CASCADE, related_name="results")
    name = models.CharField(max_length=40)
    ok = models.BooleanField()
    checked = models.BigIntegerField()
    offender = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="one_result_per_proof")]

    def __str__(self) -> str:
        return f"{self.name}: {'ok' if self.ok else self.offender}"
