from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing.archived import post_archived
        from billing.models import TopUp
        from billing.payments import first_fees, plan_fees, recharging, settling
        from billing.plans import renewing
        from billing.published import posted, records
        from hotstate import holds, recovery

        pre_migrate.connect(refuse_planted_schema, sender=self)
        post_migrate.connect(make_partitions, sender=self)
        post_migrate.connect(grant_application_role, sender=self)
        recovery.sources.append(records)
        recovery.posting.append(post_archived)
        holds.posted.append(posted)
        settling.followers[TopUp.Way.CARD] = first_fees.follow
        settling.followers[TopUp.Way.RECHARGE] = recharging.follow
        settling.followers[TopUp.Way.PLAN] = plan_fees.follow
        renewing.payers.append(plan_fees.pay)


def make_partitions(**_kwargs: Any) -> None:
    """A database that was just migrated can take today's events."""
    from django.utils import timezone

    from billing.partitions import ensure_partitions

    if _is_whole():
        ensure_partitions(timezone.now().date())


def refuse_planted_schema(**_kwargs: Any) -> None:
    from django.conf import settings

    from billing import application_role

    if settings.DATABASE_APPLICATION_ROLE:
        application_role.refuse_planted_schema()


def grant_application_role(**_kwargs: Any) -> None:
    """Where another role than this one serves, it may do what it needs to, and no more."""
    from django.conf import settings

    from billing.application_role import grant_to

    if settings.DATABASE_APPLICATION_ROLE and _is_whole():
        grant_to(settings.DATABASE_APPLICATION_ROLE)


def _is_whole() -> bool:
    """Whether the database has what this code counts on: migrating backwards, it may not."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regprocedure('billing_make_partition(date)') IS NOT NULL")
        found: bool = cursor.fetchone()[0]
    return found
