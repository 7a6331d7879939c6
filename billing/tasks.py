"""Celery's side of billing: tasks fetch, call and return, and are safe to run twice."""

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from accounts.models import alarm
from billing import partitions, posting
from billing.models import Segment
from config import enqueue

GRACE = timedelta(seconds=10)
LATE = timedelta(seconds=60)


@shared_task
def post_segment(segment_id: int) -> None:
    posting.post_segment(segment_id, now=timezone.now())


@shared_task
def sweep_segments() -> None:
    """Enqueue what waits although its hint should have come long ago."""
    waiting = Segment.objects.unposted().filter(received_at__lt=timezone.now() - GRACE).order_by("id")
    for pk in waiting.values_list("pk", flat=True)[:1000]:
        enqueue.now(post_segment, pk)


@shared_task
def make_partitions() -> None:
    partitions.ensure_partitions(timezone.now().date())


@shared_task
def watch_pipeline() -> None:
    """An alarm where a segment has waited for over a minute."""
    now = timezone.now()
    oldest = Segment.objects.unposted().filter(received_at__lt=now - LATE).order_by("received_at").first()
    if oldest:
        detail = f"{oldest.identity} has waited since {oldest.received_at.isoformat()}. Look at the workers' log."
        alarm.raise_alarm("usage_waits", "segments", detail, now=now)
