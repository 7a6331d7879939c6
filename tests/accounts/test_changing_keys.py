"""What a key may do changes as a whole, once, and Valkey has it before anybody is told."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, connection

from accounts.key_terms import MOST_LISTED, KeyTerms, NotANetwork, network
from accounts.keys import NotChanged, change_key, revoke_key
from accounts.models import ApiKey, AuditEntry
from hotstate import names
from hotstate.fast import HotState
from hotstate.records import Budgets, Limits
from tests.cast import DOLLAR, make_key, make_organization

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TERMS = KeyTerms(
    name="server",
    scopes=["embeddings", "chat"],
    allowed_models=["acme/*"],
    allowed_networks=["203.0.113.0/24"],
    expires_at=NOW + timedelta(days=3),
    limits=Limits(requests_per_minute=60, concurrent_requests=5),
    budgets=Budgets(month=DOLLAR, total=5 * DOLLAR),
)


@pytest.fixture
def key(empty_valkey: object) -> ApiKey:
    return make_key(make_organization())[0]


def change(key: ApiKey, terms: KeyTerms = TERMS, *, seen: int = 1) -> bool:
    return change_key(key, terms, seen_version=seen, actor=None, now=NOW)


@pytest.mark.django_db(transaction=True)
def test_what_changed_is_at_the_gateways_when_it_returns(key: ApiKey, empty_valkey: Any) -> None:
    assert change(key)
    stored = empty_valkey.hgetall(names.key_hash(key.organization.public_id, key.public_id))
    record = HotState.parse_record(stored[b"record"])
    key.refresh_from_db()
    assert record == key.record()
    assert (record.version, record.models, record.networks) == (2, {"acme/*"}, {"203.0.113.0/24"})
    assert (record.limits, record.budgets) == (TERMS.limits, TERMS.budgets)
    assert (stored[b"requests_per_minute"], stored[b"budget_month"]) == (b"60", b"1000000000")


def test_the_audit_trail_has_what_differs_before_and_after(key: ApiKey) -> None:
    change(key)
    change(key, replace(TERMS, name="batch"), seen=2)
    first, second = AuditEntry.objects.filter(action="key.change").order_by("id")
    assert first.before["scopes"] == ["chat", "embeddings", "models"]
    assert first.after["scopes"] == ["chat", "embeddings"]
    assert (first.before["expires_at"], first.after["expires_at"]) == (None, "2026-11-23T12:00:00+00:00")
    assert (second.before, second.after) == ({"name": "server"}, {"name": "batch"})


def test_the_same_again_changes_nothing_and_is_not_told(key: ApiKey) -> None:
    assert [change(key), change(key)] == [True, False]
    key.refresh_from_db()
    assert key.version == 2
    assert AuditEntry.objects.filter(action="key.change").count() == 1


def test_a_change_by_somebody_else_is_not_overwritten_unseen(key: ApiKey) -> None:
    change(key)
    with pytest.raises(NotChanged) as told:
        change(key, replace(TERMS, name="batch"))
    assert told.value.key.version == 2
    key.refresh_from_db()
    assert key.name == "server"


def test_a_revoked_key_does_not_change(key: ApiKey) -> None:
    revoke_key(key, actor=None, now=NOW)
    with pytest.raises(NotChanged):
        change(key, seen=2)


@pytest.mark.django_db(transaction=True)
def test_of_several_changes_at_once_one_counts(key: ApiKey) -> None:
    together = Barrier(4)

    def rename(place: int) -> bool:
        try:
            together.wait(timeout=10)
            return change(key, replace(TERMS, name=f"name {place}"))
        except NotChanged:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(rename, range(4))) == [False, False, False, True]
    key.refresh_from_db()
    assert key.version == 2


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        (" 203.0.113.7/24 ", "203.0.113.0/24"),
        ("2001:DB8::1/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("::ffff:203.0.113.7/120", "203.0.113.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_a_network_has_one_spelling(typed: str, kept: str) -> None:
    assert network(typed) == kept


@pytest.mark.parametrize("typed", ["", "10", "10.0.0.0/33", "example.com", "10.0.0.1-10.0.0.9", "fe80::1%eth0", "\x00"])
def test_what_is_no_network_is_refused(typed: str) -> None:
    with pytest.raises(NotANetwork, match="neither an address nor a network"):
        network(typed)


@pytest.mark.parametrize("column", ["allowed_models", "allowed_networks"])
def test_more_than_a_key_can_list_is_kept_nowhere(key: ApiKey, column: str) -> None:
    many = [f"10.0.{place}.0/24" for place in range(MOST_LISTED + 1)]
    with pytest.raises(IntegrityError, match=r"api_key_(models|networks)"):
        change(key, replace(TERMS, **{column: many}))
