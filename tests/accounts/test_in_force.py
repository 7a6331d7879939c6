"""When Valkey has a change of a key is known, and what is lost on the way there is told later."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from django.conf import settings as django_settings
from django.db import connection, transaction

from accounts.keys import revoke_key, rotate_key
from accounts.models import ApiKey
from accounts.organizations import reinstate, suspend
from accounts.published import confirm
from hotstate import client as hotstate_client
from hotstate import names, outbox
from hotstate.client import valkey
from hotstate.errors import Unreachable
from hotstate.models import OutboxEntry
from hotstate.records import KeyRecord
from hotstate.tasks import deliver_outbox
from tests.cast import make_key, make_organization

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def key(empty_valkey: object) -> ApiKey:
    key, _ = make_key(make_organization())
    key.refresh_from_db()
    return key


def revoked_at_gateways(key: ApiKey) -> bool:
    stored = valkey().hget(names.key_hash(key.organization.public_id, key.public_id), "revoked")
    return bool(stored == b"1")


def test_a_new_key_is_in_force_since_valkey_had_it(key: ApiKey) -> None:
    assert key.in_force
    assert key.published_at


def test_a_revocation_is_known_to_be_everywhere_when_it_returns(key: ApiKey) -> None:
    before = clock()
    revoke_key(key, actor=None, now=NOW)
    assert key.in_force
    assert key.published_at
    assert before <= key.published_at <= clock()


def test_while_valkey_is_away_it_is_stored_and_not_in_force_until_the_sweep_told_it(
    key: ApiKey, without_valkey: Callable[[], Any]
) -> None:
    before = key.published_at
    with without_valkey():
        with pytest.raises(Unreachable):
            revoke_key(key, actor=None, now=NOW)
        with pytest.raises(Unreachable):
            deliver_outbox()
        key.refresh_from_db()
        assert (key.revoked_at, key.in_force, key.published_at) == (NOW, False, before)
    deliver_outbox()
    key.refresh_from_db()
    assert key.in_force
    assert key.published_at
    assert before
    assert key.published_at > before
    assert revoked_at_gateways(key)


def test_a_suspension_and_its_end_are_known_to_be_everywhere_when_they_return(key: ApiKey) -> None:
    organization, before = key.organization, clock()
    for change in (suspend, reinstate):
        change(organization, actor=None, reason="", now=NOW)
        assert organization.in_force
        assert organization.published_at
        assert before <= organization.published_at <= clock()
        before = organization.published_at


def test_a_suspension_that_valkey_could_not_be_told_is_in_force_when_the_sweep_told_it(
    key: ApiKey, without_valkey: Callable[[], Any]
) -> None:
    organization = key.organization
    with without_valkey(), pytest.raises(Unreachable):
        suspend(organization, actor=None, reason="", now=NOW)
    organization.refresh_from_db()
    assert (organization.suspended_at, organization.in_force) == (NOW, False)
    deliver_outbox()
    organization.refresh_from_db()
    assert organization.in_force


def test_a_secret_that_ended_at_once_has_ended_everywhere_when_the_new_one_is_told(key: ApiKey) -> None:
    old = key.secrets.get()
    with others_delivering():
        rotate_key(key, replacing=old.public_id, overlap=timedelta(0), actor=None, now=NOW)
    assert key.in_force
    stored = valkey().hget(names.key_hash(key.organization.public_id, key.public_id), "record")
    record = msgspec.json.decode(stored, type=KeyRecord)
    lapses_ms = record.secrets[old.digest.hex()][1]
    assert lapses_ms
    assert lapses_ms <= NOW.timestamp() * 1000


def test_without_valkey_a_new_secret_is_told_and_not_in_force(key: ApiKey, without_valkey: Callable[[], Any]) -> None:
    old = key.secrets.get().public_id
    with without_valkey():
        assert rotate_key(key, replacing=old, overlap=timedelta(0), actor=None, now=NOW)
    assert not key.in_force


KILLED = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
import django
django.setup()
from accounts.keys import revoke_key, rotate_key
from accounts.models import ApiKey
from accounts.organizations import reinstate, suspend
from hotstate import outbox
# The first thing after the commit.
outbox._deliver_quietly = lambda ids: os.kill(os.getpid(), signal.SIGKILL)
revoke_key(ApiKey.objects.get(public_id=sys.argv[1]), actor=None, now=datetime.now(UTC))
"""


def test_a_process_killed_between_commit_and_publication_is_healed_by_the_sweep(key: ApiKey) -> None:
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environment = {**os.environ, "DATABASE_URL": database, "VALKEY_URL": django_settings.VALKEY_URL}
    killed = subprocess.run([sys.executable, "-c", KILLED, key.public_id], env=environment, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    key.refresh_from_db()
    assert key.revoked_at
    assert not key.in_force
    assert not revoked_at_gateways(key)
    deliver_outbox()
    key.refresh_from_db()
    assert key.in_force
    assert revoked_at_gateways(key)
    assert not OutboxEntry.objects.exists()


@pytest.mark.parametrize("what", ["key", "organization"])
def test_nothing_waits_for_usage_that_is_being_posted(key: ApiKey, what: str) -> None:
    other = connection.copy()
    table, pk = ("accounts_apikey", key.pk) if what == "key" else ("accounts_organization", key.organization_id)
    try:
        with transaction.atomic(), connection.cursor() as mine:
            # As inserting a row that refers to it does, until that is committed.
            other.set_autocommit(False)
            with other.cursor() as posting:
                posting.execute(f"SELECT id FROM {table} WHERE id = %s FOR KEY SHARE", [pk])
            mine.execute("SET LOCAL lock_timeout = '5s'")
            if what == "key":
                revoke_key(key, actor=None, now=NOW)
            else:
                suspend(key.organization, actor=None, reason="", now=NOW)
    finally:
        other.rollback()
        other.close()
    key.refresh_from_db()
    key.organization.refresh_from_db()
    assert (key.revoked_at or key.organization.suspended_at) == NOW


def test_an_older_change_that_comes_late_brings_no_revoked_key_back(key: ApiKey) -> None:
    older = msgspec.json.encode(key.record())
    revoke_key(key, actor=None, now=NOW)
    told = key.published_at
    OutboxEntry.objects.create(kind=OutboxEntry.Kind.KEY, record=older, created_at=NOW)
    assert outbox.deliver() == 1
    assert revoked_at_gateways(key)
    key.refresh_from_db()
    assert (key.in_force, key.published_at) == (True, told)


def test_of_a_change_told_twice_the_first_time_counts(key: ApiKey) -> None:
    confirm([key.record()], NOW)
    key.refresh_from_db()
    assert key.published_at != NOW


def test_deliveries_at_once_don_t_wait_for_each_other_in_a_circle(key: ApiKey) -> None:
    keys = [key, *(make_key(key.organization)[0] for _ in range(5))]
    for each in keys:
        ApiKey.objects.filter(pk=each.pk).update(version=9, published_version=0)
    records = [ApiKey.objects.select_related("organization").get(pk=each.pk).record() for each in keys]
    for order in (records, records[::-1], records):
        OutboxEntry.objects.bulk_create(
            OutboxEntry(kind=OutboxEntry.Kind.KEY, record=msgspec.json.encode(record), created_at=NOW)
            for record in order
        )

    def deliver(_: int) -> int:
        try:
            return outbox.deliver()
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as threads:
        assert sum(threads.map(deliver, range(3))) == 18
    assert ApiKey.objects.filter(published_version=9).count() == 6


@contextmanager
def others_delivering() -> Iterator[None]:
    """The delivery after commit fails, so that the change waits for whoever delivers next."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outbox, "_deliver_quietly", lambda ids: None)
        yield


def clock() -> datetime:
    seconds, microseconds = valkey().time()
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)


@pytest.fixture
def without_valkey(settings: Any) -> Callable[[], Any]:
    """Nobody answers at Valkey's address."""

    @contextmanager
    def away() -> Iterator[None]:
        url, settings.VALKEY_URL = settings.VALKEY_URL, "redis://127.0.0.1:1/8"
        hotstate_client.valkey.cache_clear()
        try:
            yield
        finally:
            settings.VALKEY_URL = url
            hotstate_client.valkey.cache_clear()

    return away
