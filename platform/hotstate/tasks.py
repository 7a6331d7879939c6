from celery import shared_task
from django.utils import timezone

from hotstate import decision_log, holds, outbox, recovery


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


@shared_task
def list_organizations() -> None:
    """What sweeps look at is kept by gateways as they go; this takes what is over, and finds what they never listed."""
    holds.list_holding()
    decision_log.list_decided()
