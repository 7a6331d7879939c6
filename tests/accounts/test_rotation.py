"""A key gets a new secret under the same id; the old one goes on for as long as was chosen."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.keys import NotRotated, revoke_key, rotate_key
from accounts.models import ApiKey, AuditEntry
from tests.cast import make_key, make_organization

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def key(empty_valkey: object) -> ApiKey:
    return make_key(make_organization())[0]


def rotate(key: ApiKey, *, replacing: str | None = None, hours: int = 1) -> str:
    current = replacing or key.secrets.get(lapses_at=None).public_id
    return rotate_key(key, replacing=current, overlap=timedelta(hours=hours), actor=None, now=NOW)


def test_the_old_secret_lapses_after_the_overlap(key: ApiKey) -> None:
    old = key.secrets.get()
    text = rotate(key)
    old.refresh_from_db()
    assert old.lapses_at == NOW + timedelta(hours=1)
    assert key.secrets.get(lapses_at=None).last4 == text[-4:]
    key.refresh_from_db()
    assert key.version == 2
    assert len(key.record().secrets) == 2


def test_a_second_submit_changes_nothing(key: ApiKey) -> None:
    first = key.secrets.get().public_id
    rotate(key, replacing=first)
    with pytest.raises(NotRotated):
        rotate(key, replacing=first)
    assert key.secrets.count() == 2


def test_a_revoked_key_gets_no_secret(key: ApiKey) -> None:
    revoke_key(key, actor=None, now=NOW)
    with pytest.raises(NotRotated):
        rotate(key)


def test_the_audit_trail_has_it_without_the_secret(key: ApiKey) -> None:
    text = rotate(key)
    entry = AuditEntry.objects.get(action="key.rotate")
    assert entry.after == {"overlap_seconds": 3600}
    assert text[8:40] not in str(entry.before) + str(entry.after)
