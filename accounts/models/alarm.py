from datetime import datetime

from django.db import models
from django.db.models import F

from config import enqueue


class AlarmQuerySet(models.QuerySet["Alarm"]):
    def open(self) -> "AlarmQuerySet":
        return self.filter(closed_at=None)


class Alarm(models.Model):
    """The only way the product says that a person must look: staff see it until they close it."""

    kind = models.CharField(max_length=60)
    subject = models.CharField(max_length=200)
    detail = models.TextField(blank=True)
    raised_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    count = models.PositiveIntegerField(default=1)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey("accounts.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    objects = AlarmQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=models.Q(closed_at=None),
                name="one_open_alarm_per_subject",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"


def raise_alarm(kind: str, subject: str, detail: str, *, now: datetime) -> None:
    """Open an alarm and mail staff, or count another sighting of the open one."""
    from accounts.tasks import mail_alarm

    alarm, created = Alarm.objects.open().get_or_create(
        kind=kind, subject=subject, defaults={"detail": detail, "raised_at": now, "last_seen_at": now}
    )
    if created:
        enqueue.after_commit(mail_alarm, alarm.pk)
    else:
        Alarm.objects.filter(pk=alarm.pk).update(detail=detail, last_seen_at=now, count=F("count") + 1)
