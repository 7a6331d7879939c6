"""What was committed reaches Valkey, at once or by the outbox; what was rolled back never does."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.keys import create_key, revoke_key
from accounts.models import Organization
from billing.posting import post_segment
from hotstate import names, outbox, recovery
from hotstate.client import valkey
from hotstate.errors import Unreachable
from hotstate.models import OutboxEntry
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
    raw,
    usage_line,
)
from tests.cast import request_id as new_request_id

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
clock = timezone.now


@pytest.mark.django_db(transaction=True)
class TestOutbox:
    @pytest.fixture
    def organization(self, empty_valkey: Any) -> Organization:
        return make_organization()

    def test_a_change_is_delivered_after_commit(self, organization: Organization) -> None:
        key, _ = make_key(organization)
        assert valkey().hget(names.key_hash(organization.public_id, key.public_id), "version") == b"1"
        assert not OutboxEntry.objects.exists()

    def test_what_a_rollback_took_back_is_never_told(self, organization: Organization) -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            make_key(organization)
            raise RuntimeError
        assert not list(valkey().scan_iter("km:digest:*"))

    def test_what_a_crash_after_commit_lost_is_healed(
        self, organization: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as crash:
            crash.setattr(outbox, "_deliver_quietly", lambda ids: None)
            key, _ = make_key(organization)
        assert OutboxEntry.objects.count() == 1
        assert outbox.deliver() == 1
        assert valkey().exists(names.key_hash(organization.public_id, key.public_id))

    def test_revoking_says_so_where_valkey_is_out_of_reach_and_is_healed(
        self, organization: Organization, unreachable: Any
    ) -> None:
        key, _ = make_key(organization)
        with unreachable():
            with pytest.raises(Unreachable):
                revoke_key(key, actor=None, now=NOW)
            key.refresh_from_db()
            assert key.revoked_at == NOW
        outbox.deliver()
        assert valkey().hget(names.key_hash(organization.public_id, key.public_id), "revoked") == b"1"

    def test_an_emptied_valkey_is_filled_again(self, organization: Organization) -> None:
        give_credit(organization, DOLLAR)
        key, _ = create_key(
            organization, name="k", scopes=["chat"], allowed_models=[], expires_at=None, actor=None, now=NOW
        )
        valkey().flushdb()
        assert recovery.recover_if_lost(clock)
        keys = names.decision_keys(organization.public_id, key.public_id)
        assert valkey().hget(keys[0], "balance") == str(DOLLAR).encode()
        assert valkey().hget(keys[1], "revoked") == b"0"
        assert not recovery.recover_if_lost(clock)

    def test_holds_that_are_posted_go_when_an_older_state_came_back(self, organization: Organization) -> None:
        make_model()
        give_credit(organization, DOLLAR)
        key, _ = make_key(organization)
        line, running = usage_line(key), str(new_request_id(datetime.now(UTC)))
        post_segment(make_segment(raw(line)).pk, now=datetime.now(UTC))
        keys = names.decision_keys(organization.public_id, key.public_id)
        valkey().hset(keys[2], mapping={line["id"]: f"settled:5:{key.public_id}", running: f"open:7:{key.public_id}"})
        valkey().hset(keys[0], "held", 12)
        valkey().hset(names.ERA, "run", "another")
        recovery.recover_if_lost(clock)
        assert list(valkey().hgetall(keys[2])) == [running.encode()]
        assert int(valkey().hget(keys[0], "held") or 0) == 7


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def reaching_nothing() -> Iterator[None]:
        raise Unreachable("no Valkey")
        yield

    @contextmanager
    def out_of_reach() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(outbox, "reaching_valkey", reaching_nothing)
            yield

    return out_of_reach
