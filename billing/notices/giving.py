"""Noticing something: its row and a mail for each member who wants it, in one transaction. Told once is enough."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import Jsonb

from accounts.models import Membership
from billing.models import NoticeKind, NoticeMail
from billing.notices.kinds import wanted_by
from config import enqueue


@dataclass(frozen=True)
class News:
    """Something to tell an organization (by pk), once for each `subject`. `facts` are what the mail says."""

    organization_id: int
    kind: NoticeKind
    subject: str
    facts: dict[str, Any] = field(default_factory=dict)


INSERT = """
INSERT INTO billing_notice (organization_id, kind, subject, facts, noticed_at)
SELECT new.*, %s FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::jsonb[]) AS new
ON CONFLICT (organization_id, kind, subject) DO NOTHING
RETURNING id, organization_id, kind
"""


def give(news: Iterable[News], *, now: datetime) -> int:
    """Tell what wasn't told before; return how much that was. In the caller's transaction, if there is one."""
    from billing.tasks import mail_notice

    rows = [(it.organization_id, it.kind.value, it.subject[:200], Jsonb(it.facts)) for it in news]
    if not rows:
        return 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(INSERT, [now, *map(list, zip(*rows, strict=True))])
            new = cursor.fetchall()
        members = _members({organization_id for _, organization_id, _ in new})
        wants = wanted_by(member for those in members.values() for member in those)
        mails = NoticeMail.objects.bulk_create(
            NoticeMail(notice_id=pk, membership=member)
            for pk, organization_id, kind in new
            for member in members.get(organization_id, [])
            if wants[member.pk][NoticeKind(kind)]
        )
        for mail in mails:
            enqueue.after_commit(mail_notice, mail.pk)
    return len(new)


def _members(organization_ids: set[int]) -> dict[int, list[Membership]]:
    found: dict[int, list[Membership]] = {}
    members = Membership.objects.filter(organization_id__in=organization_ids, user__is_active=True)
    for member in members.order_by("id"):
        found.setdefault(member.organization_id, []).append(member)
    return found
