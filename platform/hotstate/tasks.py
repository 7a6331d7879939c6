from celery import shared_task
from django.utils import timezone

from hotstate import holds, outbox, rebuild


@shared_task
def deliver_outbox() -> None:
    rebuild.rebuild_if_restarted()
    outbox.deliver()


@shared_task
def sweep_lapsed_holds() -> None:
    holds.sweep_lapsed(timezone.now())
