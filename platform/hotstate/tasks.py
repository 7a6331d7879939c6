from celery import shared_task
from django.utils import timezone

from hotstate import holds, outbox, recovery


@shared_task
def deliver_outbox() -> None:
    outbox.deliver()


@shared_task
def recover_hot_state() -> None:
    recovery.recover_if_lost(timezone.now)


@shared_task
def sweep_lapsed_holds() -> None:
    now = timezone.now()
    holds.sweep_lapsed(now)
    holds.note_posted(now)
