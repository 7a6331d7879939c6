"""Terms are by the moment of a request, start no sooner than gateways can know, and are never edited."""

from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import AuditEntry, Organization
from billing.models import OrganizationTerms
from billing.prices import NOTICE
from billing.terms import KEPT, NO_TERMS, TermsError, change_terms, histories, in_force, milliseconds
from hotstate import outbox
from hotstate.records import OrganizationRecord, Terms
from tests.cast import make_organization, make_price_list, make_user
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def organization() -> Organization:
    return make_organization(now=NOW)


def change(
    organization: Organization, *, now: datetime = NOW, at: datetime | None = None, **fields: object
) -> list[int]:
    return change_terms(
        organization,
        now=now,
        actor=None,
        reason="Agreed",
        effective_from=at,
        **fields,  # type: ignore[arg-type]
    )


def at(organization: Organization, moment: datetime) -> Terms:
    return in_force(histories([organization.pk]).get(organization.pk, ()), milliseconds(moment))


def discounts(organization: Organization, *moments: datetime) -> list[int | None]:
    return [at(organization, moment).own_discount_bp for moment in moments]


def test_they_begin_as_soon_as_gateways_can_know(organization: Organization) -> None:
    assert at(organization, NOW + NOTICE) is NO_TERMS
    change(organization, own_discount_bp=1000)
    assert discounts(organization, NOW + NOTICE - timedelta(milliseconds=1), NOW + NOTICE) == [None, 1000]
    assert at(make_organization("Other"), NOW + DAY) is NO_TERMS


def test_what_isn_t_named_stays(organization: Organization) -> None:
    change(organization, own_discount_bp=1000, allowed_models=["demo-*"])
    change(organization, now=NOW + HOUR, plan_price_list=make_price_list(), plan_discount_bp=500)
    change(organization, now=NOW + 2 * HOUR, own_discount_bp=None)
    found = at(organization, NOW + DAY)
    assert (found.own_discount_bp, found.plan_discount_bp, found.models) == (None, 500, {"demo-*"})
    assert found.plan_list is not None
    assert discounts(organization, NOW + HOUR) == [1000]


def test_scheduled_terms_keep_what_they_change_and_take_over_the_rest(organization: Organization) -> None:
    change(organization, at=NOW + DAY, own_discount_bp=3000)
    change(organization, at=NOW + 2 * DAY, plan_discount_bp=100)
    change(organization, now=NOW + HOUR, own_discount_bp=1000, plan_discount_bp=700)
    moments = NOW + HOUR, NOW + 2 * HOUR, NOW + DAY, NOW + 2 * DAY
    assert discounts(organization, *moments) == [None, 1000, 3000, 3000]
    assert [at(organization, moment).plan_discount_bp for moment in moments] == [None, 700, 700, 100]


def test_of_those_that_start_together_the_last_counts(organization: Organization) -> None:
    change(organization, at=NOW + DAY, own_discount_bp=3000)
    change(organization, at=NOW + DAY, own_discount_bp=2000)
    assert discounts(organization, NOW + DAY) == [2000]
    assert OrganizationTerms.objects.count() == 2


def test_what_changes_nothing_is_no_change(organization: Organization) -> None:
    change(organization, own_discount_bp=1000)
    version = Organization.objects.get().version
    assert change(organization, now=NOW + HOUR, own_discount_bp=1000) == []
    assert (OrganizationTerms.objects.count(), Organization.objects.get().version) == (1, version)


def test_a_start_between_milliseconds_is_the_next_one(organization: Organization) -> None:
    start = NOW + HOUR + timedelta(microseconds=1)
    change(organization, at=start, own_discount_bp=1000)
    assert OrganizationTerms.objects.get().effective_from == NOW + HOUR + timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Nothing"),
        ({"own_discount_bp": 10_001}, "out of bounds"),
        ({"plan_discount_bp": -1}, "out of bounds"),
        ({"allowed_models": ["m"] * 101}, "At most 100"),
        ({"allowed_models": [""]}, "pattern"),
        ({"allowed_models": ["m" * 201]}, "pattern"),
        ({"own_discount_bp": 1, "at": NOW + NOTICE - timedelta(milliseconds=1)}, "past"),
    ],
)
def test_wrong_terms_are_refused(organization: Organization, fields: dict[str, object], words: str) -> None:
    with pytest.raises(TermsError, match=words):
        change(organization, **fields)  # type: ignore[arg-type]
    assert not OrganizationTerms.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_gateways_are_told_in_the_organization_s_record(organization: Organization) -> None:
    before = Organization.objects.get().version
    enterprise = make_price_list()
    actor = make_user("staff@example.com", is_staff=True)
    entries = change_terms(
        organization, now=NOW, actor=actor, reason="Agreed", own_price_list=enterprise, allowed_models=["demo-*"]
    )
    outbox.require_delivered(entries)
    stored = Organization.objects.get()
    assert (stored.version, stored.in_force) == (before + 1, True)
    starts = milliseconds(NOW + NOTICE)
    assert stored.record().terms == (Terms(effective_ms=starts, own_list=enterprise.pk, models=frozenset({"demo-*"})),)
    entry = AuditEntry.objects.get(action="organization.terms")
    assert (entry.actor, entry.reason, entry.organization) == (actor, "Agreed", stored)


def test_the_record_has_what_gateways_still_need_and_no_more(organization: Organization) -> None:
    for days in range(5):
        change(organization, now=NOW + days * DAY, own_discount_bp=days + 1)
    change(organization, now=NOW + 5 * DAY, at=NOW + 9 * DAY, own_discount_bp=9)
    record: OrganizationRecord = Organization.objects.get().record()
    kept = [terms.own_discount_bp for terms in record.terms]
    oldest = at(organization, NOW + 5 * DAY - KEPT).own_discount_bp
    assert kept == [oldest, 5, 9]


starts = st.lists(st.integers(0, 50), max_size=6)


@given(starts, st.integers(0, 60))
def test_the_latest_start_that_has_come_is_in_force(begun: list[int], moment: int) -> None:
    history = [Terms(effective_ms=start, own_discount_bp=index) for index, start in enumerate(sorted(begun))]
    come = [terms for terms in history if terms.effective_ms <= moment]
    assert in_force(history, moment) == (come[-1] if come else NO_TERMS)


@pytest.mark.django_db(transaction=True)
def test_of_two_changes_at_once_neither_is_lost(organization: Organization, empty_valkey: Any) -> None:
    """Each takes over what the other named: they read what stands one after the other."""
    done: list[str] = []

    def changing(name: str, discount: int) -> Thread:
        def run() -> None:
            try:
                change(organization, **{name: discount})
                done.append(name)
            finally:
                connection.close()

        return Thread(target=run, daemon=True)

    threads = [changing("own_discount_bp", 1000), changing("plan_discount_bp", 2000)]
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        for thread in threads:
            thread.start()
        wait_until(lambda: waiting_for_locks() == 2, "both to wait")
    for thread in threads:
        thread.join(20)
    assert sorted(done) == ["own_discount_bp", "plan_discount_bp"]
    found = at(organization, NOW + DAY)
    assert (found.own_discount_bp, found.plan_discount_bp) == (1000, 2000)
    assert Organization.objects.get().record().terms[-1] == found


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        found: int = cursor.fetchone()[0]
    return found
