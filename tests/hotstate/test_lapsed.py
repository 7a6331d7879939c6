"""A hold that lapsed is a row: the only sign of a request that may have been served and not charged."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError

from accounts.models import ApiKey, AuditEntry
from billing.lapsed import explain_lapsed
from billing.posting import post_segment
from hotstate import holds, names
from hotstate.client import valkey
from hotstate.holds import OPEN, Hold
from hotstate.models import LapsedHold
from tests.cast import make_key, make_model, make_organization, make_segment, make_user, raw, request_id, usage_line

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_valkey")]
NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def key() -> ApiKey:
    make_model()
    return make_key(make_organization())[0]


def hold(key: ApiKey, **fields: Any) -> str:
    """Hold money for a request that a gateway works on."""
    event = str(fields.get("id") or request_id(NOW))
    held = Hold(key.organization.public_id, event, OPEN, 500, key.public_id)
    holds.register(valkey(), [held], until_ms=int(NOW.timestamp() * 1000) + 60_000)
    return event


def test_it_is_kept_as_a_row_once(key: ApiKey) -> None:
    event = hold(key)
    assert [holds.sweep_lapsed(NOW), holds.sweep_lapsed(LATER), holds.sweep_lapsed(LATER)] == [0, 1, 0]
    row = LapsedHold.objects.open().get()
    assert (row.request_id, row.organization, row.key, row.nanos) == (
        event,
        key.organization.public_id,
        key.public_id,
        500,
    )


def test_its_row_names_the_key_without_who_held_for_it(key: ApiKey) -> None:
    event, org = hold(key), key.organization.public_id
    # As decisions write it.
    valkey().hset(names.holds_of(org), event, f"open:500:{key.public_id}:-")
    holds.sweep_lapsed(LATER)
    assert LapsedHold.objects.get().key == key.public_id


def test_one_whose_row_can_not_be_written_stays_held(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(key)

    def away(*_: object, **__: object) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as losing:
        losing.setattr("hotstate.holds.LapsedHold.objects.bulk_create", away)
        with pytest.raises(OperationalError):
            holds.sweep_lapsed(LATER)
    assert holds.sweep_lapsed(LATER) == 1


def test_one_that_is_renewed_at_that_moment_is_none(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    event = hold(key)
    create = LapsedHold.objects.bulk_create

    def renewed(*arguments: Any, **options: Any) -> Any:
        leases = names.leases_of(key.organization.public_id)
        valkey().zadd(leases, {event: int(LATER.timestamp() * 1000) + 60_000})
        return create(*arguments, **options)

    monkeypatch.setattr("hotstate.holds.LapsedHold.objects.bulk_create", renewed)
    assert holds.sweep_lapsed(LATER) == 0
    assert not LapsedHold.objects.exists()


def test_its_event_that_comes_after_all_closes_it(key: ApiKey) -> None:
    event = request_id(NOW)
    hold(key, id=event)
    hold(key)
    holds.sweep_lapsed(LATER)
    assert holds.note_posted(LATER) == 0
    segment = make_segment(raw(usage_line(key, id=event)))
    post_segment(segment.pk, now=NOW)
    assert holds.note_posted(LATER) == 1
    assert LapsedHold.objects.open().count() == 1


def test_a_person_explains_it_once(key: ApiKey) -> None:
    hold(key)
    holds.sweep_lapsed(LATER)
    row, staff = LapsedHold.objects.get(), make_user("staff@example.com", is_staff=True)
    assert explain_lapsed(row, "Machine burned", actor=staff, now=NOW)
    assert not explain_lapsed(row, "Again", actor=staff, now=NOW)
    assert not LapsedHold.objects.open().exists()
    assert AuditEntry.objects.get(action="lapsed_hold.explain").reason == "Machine burned"
