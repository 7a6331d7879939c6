"""The steps of a night, in their order."""

from datetime import timedelta

from billing.closing import OVERDUE
from billing.nightly import clearing, closing_days, comparing, expiring, proving, renewing, stating, telling
from billing.nightly.shape import Step

STEPS: list[Step] = [
    Step("renew_plans", "Plans whose period is over are renewed, or end.", renewing.renew),
    Step(
        "compare_payments",
        "Stripe and our rows say the same of the day's payments, refunds and disputes.",
        comparing.compare,
    ),
    Step("close_day", "The day before is closed: what comes later is an adjustment.", closing_days.close),
    # Usage from before it expired has been posted by now.
    Step("expire_grants", "Credit that has expired is taken back.", expiring.expire, needs=("close_day",)),
    # Books are proved also where a day can't be closed.
    Step(
        "prove",
        "Everything is proved, and every proof is green.",
        proving.prove,
        needs=("close_day",),
        patience=OVERDUE + timedelta(minutes=30),
    ),
    Step("draw_statements", "The month before is stated, on green proofs.", stating.draw, needs=("close_day", "prove")),
    Step("notify", "Members are told what they want to know: each once.", telling.tell),
    Step("purge", "What was only to be kept for a time is deleted.", clearing.clear),
]
NAMES = [step.name for step in STEPS]
