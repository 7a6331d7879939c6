"""Plans: each row that is tampered with turns its proof red."""

from datetime import timedelta

import pytest

from accounts.models import ApiKey
from billing.models import (
    Subscription,
    SubscriptionPeriod,
)
from billing.plans.choosing import choose
from tests.billing.proofs.conftest import NEXT_NOON, forget_outbox
from tests.billing.proofs.tampering import Tamper, offender

pytestmark = pytest.mark.usefixtures("right_before")


def test_plans_due(key: ApiKey, tamper: Tamper) -> None:
    overdue = Subscription.objects.get()
    tamper("UPDATE billing_subscription SET due_at = %s WHERE id = %s", NEXT_NOON - timedelta(hours=2), overdue.pk)
    assert f"subscription {overdue.pk} " in offender("plans_due")


def test_plan_periods(key: ApiKey, tamper: Tamper) -> None:
    paid = SubscriptionPeriod.objects.get()
    tamper("UPDATE billing_subscriptionperiod SET fee_id = NULL WHERE id = %s", paid.pk)
    assert f"period 1 of subscription {paid.subscription_id}:" in offender("plan_periods")


def test_a_period_that_is_missing(key: ApiKey, tamper: Tamper) -> None:
    paid = SubscriptionPeriod.objects.get()
    tamper("DELETE FROM billing_subscriptionperiod WHERE id = %s", paid.pk)
    assert f"subscription {paid.subscription_id}: " in offender("plan_periods")


def test_a_period_that_overlaps_the_next(key: ApiKey, tamper: Tamper) -> None:
    subscription = Subscription.objects.get()
    choose(subscription.organization, subscription.version, actor=None, now=NEXT_NOON)
    forget_outbox()
    first = SubscriptionPeriod.objects.get(number=1)
    tamper("UPDATE billing_subscriptionperiod SET cut_at = NULL WHERE id = %s", first.pk)
    assert f"period 2 of subscription {subscription.pk} begins" in offender("plan_periods")
