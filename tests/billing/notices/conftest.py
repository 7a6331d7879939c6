"""An organization with an owner, a developer and a viewer, and its mailbox."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail

from accounts.models import ApiKey, Membership, Organization, Role
from billing.models import NoticeMail
from billing.notices import mailing
from billing.partitions import ensure_partitions
from billing.posting import post_segment
from tests.cast import make_key, make_model, make_organization, make_segment, make_user, raw, usage_line

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
CHARGE = 4_500_000
"""Of a request of `usage_line`, nano-dollars."""


@pytest.fixture
def organization(db: None) -> Organization:
    ensure_partitions(NOW.date(), behind=1, ahead=8)
    make_model()
    made = make_organization(owner=make_user("owner@example.com"), now=NOW - timedelta(days=90))
    for role in (Role.DEVELOPER, Role.VIEWER):
        user = make_user(f"{role}@example.com")
        Membership.objects.create(user=user, organization=made, role=role, created_at=NOW)
    return made


@pytest.fixture
def key(organization: Organization) -> ApiKey:
    return make_key(organization, name="production", now=NOW - timedelta(days=60))[0]


def use(key: ApiKey, *, number: int = 1, at: datetime = NOW) -> None:
    lines = [usage_line(key, at=at, seq=seq) for seq in range(1, number + 1)]
    assert post_segment(make_segment(raw(*lines), now=at).pk, now=at)


@pytest.fixture
def delivered() -> Callable[[], list[tuple[str, str]]]:
    """Send what waits, and return who got what: address and subject, of mails since the last time."""

    def deliver() -> list[tuple[str, str]]:
        del mail.outbox[:]
        for pk in NoticeMail.objects.filter(sent_at=None).order_by("id").values_list("pk", flat=True):
            mailing.send(pk, NOW)
        return [(message.to[0], message.subject) for message in mail.outbox]

    return deliver


def member(organization: Organization, role: Role = Role.OWNER) -> Membership:
    return organization.memberships.get(role=role)
