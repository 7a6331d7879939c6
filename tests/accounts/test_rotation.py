"""A key gets a new secret under the same id; the old one goes on for as long as was chosen."""

from datetime import UTC, datetime, timedelta

import pytest

from accounts.keys import NotRotated, end_overlap, revoke_key, rotate_key
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


def end(key: ApiKey, secret: str, at: datetime = NOW) -> bool:
    return end_overlap(key, secret=secret, actor=None, now=at)


@pytest.mark.django_db(transaction=True)
def test_an_overlap_can_be_ended_ahead_of_time_once(key: ApiKey) -> None:
    old = key.secrets.get()
    rotate(key)
    assert [end(key, old.public_id), end(key, old.public_id)] == [True, False]
    old.refresh_from_db()
    key.refresh_from_db()
    assert old.lapses_at
    assert old.lapses_at < NOW
    assert (key.version, key.in_force) == (3, True)
    entry = AuditEntry.objects.get(action="key.end_overlap")
    planned = (NOW + timedelta(hours=1)).isoformat()
    assert entry.before == {"secret": old.public_id, "lapses_at": planned}


def test_what_is_current_lapsed_another_key_s_or_revoked_is_not_ended(key: ApiKey) -> None:
    first = key.secrets.get().public_id
    assert not end(key, first)
    rotate(key)
    assert not end(key, first, NOW + timedelta(hours=2))
    other = make_key(key.organization)[0]
    assert not end(other, first)
    assert not end(key, "sec_nothing")
    revoke_key(key, actor=None, now=NOW)
    assert not end(key, first)


def test_without_an_overlap_a_gateway_whose_clock_is_behind_refuses_too(key: ApiKey) -> None:
    old = key.secrets.get()
    rotate(key, hours=0)
    old.refresh_from_db()
    assert old.lapses_at
    assert old.lapses_at <= NOW - timedelta(seconds=5)
