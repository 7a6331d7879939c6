"""Low balance: told once when it falls below an amount, and again only after it was above it."""

from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction

from accounts.models import Organization
from accounts.models.audit import Actor, record
from billing.models import Balance, BalanceThreshold, NoticeKind
from billing.notices.giving import News, give

MOST = 5
"""Thresholds of an organization."""

REARM = """
UPDATE billing_balancethreshold AS threshold SET armed = true FROM billing_balance AS balance
WHERE balance.organization_id = threshold.organization_id AND NOT armed AND balance.nanos >= threshold.nanos
"""
CROSS = """
UPDATE billing_balancethreshold AS threshold SET armed = false, crossings = crossings + 1
FROM billing_balance AS balance
WHERE balance.organization_id = threshold.organization_id AND armed AND balance.nanos < threshold.nanos
RETURNING threshold.organization_id, threshold.nanos, threshold.crossings, balance.nanos
"""


def begin(organization: Organization, *, now: datetime) -> None:
    """A new organization is told below LOW_BALANCE_NOTICE, until it chooses otherwise."""
    if settings.LOW_BALANCE_NOTICE_NANOS:
        set_thresholds(organization, [settings.LOW_BALANCE_NOTICE_NANOS], actor=None, now=now)


def watch(now: datetime) -> int:
    """Tell of balances that fell below a threshold; of several at once only the lowest. Returns how many."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(REARM)
            cursor.execute(CROSS)
            crossed = cursor.fetchall()
        lowest: dict[int, News] = {}
        for organization_id, nanos, crossings, balance in sorted(crossed, key=lambda row: -row[1]):
            facts = {"threshold_nanos": nanos, "balance_nanos": balance}
            lowest[organization_id] = News(organization_id, NoticeKind.LOW_BALANCE, f"{nanos}:{crossings}", facts)
        return give(lowest.values(), now=now)


def set_thresholds(organization: Organization, nanos: Iterable[int], *, actor: Actor, now: datetime) -> None:
    """Be told below these amounts, and no others. Raises ValueError for more than MOST.

    One that the balance is below already tells nothing before the balance was above it.
    """
    chosen = set(nanos)
    if len(chosen) > MOST:
        raise ValueError(f"At most {MOST} amounts.")
    thresholds = BalanceThreshold.objects.filter(organization=organization)
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        before = set(thresholds.values_list("nanos", flat=True))
        if chosen == before:
            return
        thresholds.exclude(nanos__in=chosen).delete()
        balance = Balance.objects.filter(organization=organization).values_list("nanos", flat=True).first() or 0
        BalanceThreshold.objects.bulk_create(
            BalanceThreshold(organization=organization, nanos=amount, armed=balance >= amount)
            for amount in chosen - before
        )
        record(
            "notices.thresholds",
            organization.public_id,
            actor=actor,
            organization=organization,
            before={"nanos": sorted(before)},
            after={"nanos": sorted(chosen)},
            now=now,
        )
