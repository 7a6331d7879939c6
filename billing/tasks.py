"""Celery's side of billing: tasks fetch, call and return, and are safe to run twice."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts.models import alarm
from billing import partitions, posting, sequences
from billing.forecasting import portions
from billing.models import Forecast, QuarantineRun, Segment
from billing.nightly import running
from billing.notices import balances, budgets, mailing, plans
from billing.payments import healing, recharging
from billing.plans import renewing
from billing.proofs import runs
from billing.statements import ordered
from config import enqueue

GRACE = timedelta(seconds=10)
LATE = timedelta(seconds=60)


@shared_task
def post_segment(segment_id: int) -> None:
    posting.try_post(segment_id, now=timezone.now())


@shared_task
def sweep_segments() -> None:
    """Enqueue what waits although its hint should have come long ago.

    Drawn by lot: segments that fail again and again don't keep the others from their turn.
    """
    waiting = Segment.objects.unposted().filter(received_at__lt=timezone.now() - GRACE).order_by("?")
    for pk in waiting.values_list("pk", flat=True)[:1000]:
        enqueue.now(post_segment, pk)


@shared_task
def make_partitions() -> None:
    partitions.ensure_partitions(timezone.now().date())


@shared_task
def detach_partitions() -> None:
    partitions.detach_old(timezone.now().date(), keep_days=settings.USAGE_EVENT_DAYS)


@shared_task
def watch_pipeline() -> None:
    """An alarm where a segment has waited for over a minute, numbered lines are missing, or nothing was proved."""
    now = timezone.now()
    oldest = Segment.objects.unposted().filter(received_at__lt=now - LATE).order_by("received_at").first()
    if oldest:
        detail = f"{oldest.identity} has waited since {oldest.received_at.isoformat()}. Look at the workers' log."
        alarm.raise_alarm("usage_waits", "segments", detail, now=now)
    sequences.watch_gaps(now)
    runs.watch(now)


@shared_task
def nightly() -> None:
    running.go_on(timezone.now)


@shared_task
def watch_for_notices() -> None:
    """What can't wait for the night: low balances, key budgets, plans. And mails that weren't sent."""
    now = timezone.now()
    balances.watch(now)
    budgets.watch(now)
    plans.tell(now)
    for pk in mailing.unsent(now):
        enqueue.now(mail_notice, pk)


@shared_task
def mail_notice(mail_id: int) -> None:
    mailing.send(mail_id, timezone.now())


@shared_task
def sweep_proof_runs() -> None:
    """Carry out what somebody asked for and whose message was lost, or whose worker was killed."""
    for pk in runs.waiting(timezone.now()):
        enqueue.now(prove_books, pk)


@shared_task
def renew_plans() -> None:
    """Plans are renewed when they are due, not at night only: their credit isn't missed until then."""
    renewing.renew_due(timezone.now())


@shared_task
def heal_top_ups() -> None:
    healing.heal(timezone.now)


@shared_task
def recharge_balance(organization_id: int) -> None:
    recharging.recharge(organization_id, now=timezone.now())


@shared_task
def sweep_recharges() -> None:
    """Refill what a lost message, or the end of a pause, left below its threshold."""
    for pk in recharging.due(timezone.now()):
        enqueue.now(recharge_balance, pk)


@shared_task
def prove_books(run_id: int) -> None:
    runs.carry_out(run_id, timezone.now)


@shared_task
def run_quarantine(run_id: int) -> None:
    from billing.quarantine import runs as quarantine_runs

    while quarantine_runs.go_on(run_id, timezone.now()):
        pass


@shared_task
def sweep_quarantine_runs() -> None:
    """Go on with runs whose worker was killed."""
    for pk in QuarantineRun.objects.filter(finished_at=None).values_list("pk", flat=True):
        enqueue.now(run_quarantine, pk)


@shared_task
def run_forecast(forecast_id: int) -> None:
    portions.carry_out(forecast_id, timezone.now)


@shared_task
def sweep_forecasts() -> None:
    """Go on with forecasts whose worker was killed."""
    for pk in Forecast.objects.filter(state__in=Forecast.UNFINISHED).values_list("pk", flat=True):
        enqueue.now(run_forecast, pk)


@shared_task
def draw_statement(order_id: int) -> None:
    ordered.carry_out(order_id, timezone.now)


@shared_task
def sweep_statement_orders() -> None:
    """Draw what somebody asked for and whose message was lost, or whose worker was killed."""
    for pk in ordered.waiting(timezone.now()):
        enqueue.now(draw_statement, pk)


@shared_task
def note_sequences() -> None:
    sequences.note_sequences(timezone.now())
