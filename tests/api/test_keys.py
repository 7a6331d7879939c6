"""A program lists, makes, changes, rotates and revokes its organization's keys."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from accounts.keys import find_secret, revoke_key
from accounts.models import ApiKey, AuditEntry, Organization
from hotstate import names
from hotstate.client import valkey
from tests.api.program import Program, code_of
from tests.cast import make_key

pytestmark = pytest.mark.django_db
Acting = tuple[ApiKey, Program]


@pytest.fixture
def key(organization: Organization) -> ApiKey:
    return make_key(organization, name="production")[0]


class TestListing:
    def test_pages_follow_each_other_without_gap_or_double(self, acting: Acting, organization: Organization) -> None:
        for number in range(24):
            make_key(organization, name=f"key {number}")
        expected = list(organization.api_keys.order_by("-pk").values_list("public_id", flat=True))
        seen: list[str] = []
        query: dict[str, Any] = {"limit": 10}
        while True:
            status, page = acting[1].get("keys", **query)
            assert status == 200
            seen += [key["id"] for key in page["data"]]
            if not page["has_more"]:
                break
            query["after"] = page["last_id"]
        assert seen == expected

    def test_costs_the_same_queries_however_many_keys(
        self, program: Program, organization: Organization, django_assert_max_num_queries: Callable[[int], Any]
    ) -> None:
        for number in range(30):
            make_key(organization, name=f"key {number}")
        with django_assert_max_num_queries(4):
            assert len(program.get("keys", limit=100)[1]["data"]) == 31

    @pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "²", "1" * 5000])
    def test_a_wrong_limit_is_refused(self, program: Program, limit: str) -> None:
        assert code_of(program.get("keys", limit=limit)) == (400, None, "limit")

    def test_a_place_that_isn_t_ours_is_refused(self, program: Program) -> None:
        assert code_of(program.get("keys", after="key_nothing")) == (404, "key_not_found", None)


class TestReading:
    def test_a_key_says_what_it_may_do_and_never_its_secret(self, acting: Acting, organization: Organization) -> None:
        key, secret = make_key(organization, name="production", allowed_networks=["203.0.113.0/24"])
        status, told = acting[1].get(f"keys/{key.public_id}")
        assert status == 200
        assert told["name"] == "production"
        assert told["networks"] == ["203.0.113.0/24"]
        assert (told["state"], told["version"], told["budget_day"]) == ("active", 1, None)
        assert [shown["hint"] for shown in told["secrets"]] == [key.secrets.get().hint]
        assert secret not in str(told)
        assert key.secrets.get().digest.hex() not in str(told)

    def test_nothing_is_kept_by_caches(self, program: Program, key: ApiKey) -> None:
        answer = program.client.get(f"/api/v1/keys/{key.public_id}")
        assert answer["Cache-Control"] == "no-store"
        assert len(answer["X-Request-Id"]) == 36


class TestMaking:
    def test_the_secret_is_told_once_and_works(self, program: Program, organization: Organization) -> None:
        status, made = program.post("keys", {"name": "server", "scopes": ["chat"]})
        assert status == 201
        found = find_secret(made["secret"])
        assert found
        assert found.api_key.public_id == made["id"]
        assert found.api_key.organization == organization
        again = program.get(f"keys/{made['id']}")[1]
        assert "secret" not in again
        assert made["secret"] not in str(list(AuditEntry.objects.values()))

    def test_terms_are_as_sent(self, program: Program) -> None:
        sent = {
            "name": "server",
            "scopes": ["chat", "chat"],
            "models": ["acme/*", "demo"],
            "networks": ["2001:db8::1", "203.0.113.9/24"],
            "expires_at": "2100-01-01T01:00:00+01:00",
            "requests_per_minute": 60,
            "budget_month": "12.5",
        }
        made = program.post("keys", sent)[1]
        key = ApiKey.objects.get(public_id=made["id"])
        assert (key.scopes, key.allowed_models) == (["chat"], ["acme/*", "demo"])
        assert key.allowed_networks == ["2001:db8::1/128", "203.0.113.0/24"]
        assert key.expires_at == datetime(2100, 1, 1, tzinfo=UTC)
        assert (key.requests_per_minute, key.budget_month_nanos) == (60, 12_500_000_000)
        assert (made["expires_at"], made["budget_month"]) == ("2100-01-01T00:00:00.000Z", "12.500000000")

    def test_an_expiry_far_from_utc_is_kept_in_utc(self, program: Program) -> None:
        made = program.post("keys", {"name": "server", "scopes": ["chat"], "expires_at": "2199-12-31T23:59:59-23:59"})
        assert made[1]["expires_at"] == "2200-01-01T23:58:59.000Z"

    @pytest.mark.django_db(transaction=True)
    def test_the_same_idempotency_key_makes_one_key_however_often_and_at_once(
        self, program: Program, organization: Organization
    ) -> None:
        together = Barrier(4)

        def make(_: int) -> tuple[int, dict[str, Any]]:
            try:
                together.wait(timeout=10)
                return program.post("keys", {"name": "server", "scopes": ["chat"]}, **{"Idempotency-Key": "deploy 7"})
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(make, range(4)))
        made = [body["id"] for status, body in answers if status == 201]
        refused = [body["error"] for status, body in answers if status == 409]
        assert (len(made), len(refused)) == (1, 3)
        assert all(error["code"] == "already_created" and made[0] in error["message"] for error in refused)
        assert organization.api_keys.filter(name="server").count() == 1

    @pytest.mark.parametrize(
        ("wrong", "param"),
        [
            ({"name": ""}, "name"),
            ({"name": "\0"}, "name"),
            ({"name": "x" * 81}, "name"),
            ({"name": None}, "name"),
            ({"scopes": []}, "scopes"),
            ({"scopes": ["root"]}, "scopes"),
            ({"scopes": "chat"}, "scopes"),
            ({"models": ["a b"]}, "models"),
            ({"models": ["a"] * 101}, "models"),
            ({"networks": ["10.0.0.0/33"]}, "networks"),
            ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
            ({"expires_at": "2300-01-01T00:00:00Z"}, "expires_at"),
            ({"expires_at": "2100-01-01"}, "expires_at"),
            ({"expires_at": "0001-01-01T00:00:00+23:59"}, "expires_at"),
            ({"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
            ({"requests_per_minute": 0}, "requests_per_minute"),
            ({"requests_per_minute": 10**13}, "requests_per_minute"),
            ({"requests_per_minute": True}, "requests_per_minute"),
            ({"budget_day": "0"}, "budget_day"),
            ({"budget_day": "1e3"}, "budget_day"),
            ({"budget_day": "NaN"}, "budget_day"),
            ({"budget_day": "٣"}, "budget_day"),
            ({"budget_day": 1.5}, "budget_day"),
            ({"budget_day": "9999999999"}, "budget_day"),
            ({"colour": "red"}, "colour"),
        ],
    )
    def test_bad_input_is_refused_by_name(self, program: Program, wrong: dict[str, Any], param: str) -> None:
        answer = program.post("keys", {"name": "server", "scopes": ["chat"], **wrong})
        assert code_of(answer) == (400, None, param)
        assert ApiKey.objects.count() == 1

    @pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"null", b"[" * 60_000, b'{"name":"\xc3"}'])
    def test_what_is_no_object_is_refused(self, program: Program, raw: bytes) -> None:
        assert program.post("keys", raw)[0] == 400

    def test_a_body_too_large_is_refused(self, program: Program) -> None:
        assert code_of(program.post("keys", b" " * 70_000)) == (413, "request_too_large", None)


class TestChanging:
    @pytest.mark.django_db(transaction=True)
    def test_only_what_is_sent_changes_and_gateways_have_it_when_it_is_answered(
        self, acting: Acting, key: ApiKey
    ) -> None:
        status, told = acting[1].patch(f"keys/{key.public_id}", name="batch", budget_day="2")
        assert (status, told["name"], told["budget_day"]) == (200, "batch", "2.000000000")
        assert (told["scopes"], told["version"], told["in_force"]) == (key.scopes, 2, True)
        stored = valkey().hget(names.key_hash(key.organization.public_id, key.public_id), "budget_day")
        assert stored == b"2000000000"
        assert acting[1].patch(f"keys/{key.public_id}", budget_day=None)[1]["budget_day"] is None
        entry = AuditEntry.objects.filter(action="key.change").order_by("id")[0]
        assert (entry.actor, entry.actor_key, entry.after["name"]) == (None, acting[0], "batch")

    def test_of_a_version_that_is_no_more_nothing_changes(self, program: Program, key: ApiKey) -> None:
        path = f"keys/{key.public_id}"
        assert program.patch(path, name="first", version=1)[1]["version"] == 2
        assert code_of(program.patch(path, name="second", version=1)) == (409, "key_changed", "version")
        assert program.get(path)[1]["name"] == "first"

    def test_a_revoked_key_stays_as_it_is(self, program: Program, key: ApiKey) -> None:
        revoke_key(key, actor=None, now=datetime.now(UTC))
        assert code_of(program.patch(f"keys/{key.public_id}", name="other")) == (409, "key_revoked", None)


class TestRotating:
    def test_the_new_secret_works_and_the_old_one_ends_when_said(self, program: Program, key: ApiKey) -> None:
        old = key.secrets.get()
        status, told = program.post(
            f"keys/{key.public_id}/rotate", {"replacing": old.public_id, "overlap_seconds": 3600}
        )
        assert status in (200, 202)
        found = find_secret(told["secret"])
        assert found
        assert found.api_key == key
        old.refresh_from_db()
        assert old.lapses_at
        assert timedelta(minutes=59) < old.lapses_at - datetime.now(UTC) <= timedelta(hours=1)
        assert [secret["id"] for secret in told["secrets"]] == [found.public_id, old.public_id]

    def test_repeated_it_makes_no_other_secret(self, program: Program, key: ApiKey) -> None:
        sent = {"replacing": key.secrets.get().public_id}
        program.post(f"keys/{key.public_id}/rotate", sent)
        again = program.post(f"keys/{key.public_id}/rotate", sent)
        assert code_of(again) == (409, "not_the_current_secret", "replacing")
        assert key.secrets.count() == 2

    @pytest.mark.django_db(transaction=True)
    def test_without_an_overlap_the_old_secret_is_refused_when_it_is_answered(
        self, program: Program, key: ApiKey
    ) -> None:
        sent = {"replacing": key.secrets.get().public_id, "overlap_seconds": 0}
        status, told = program.post(f"keys/{key.public_id}/rotate", sent)
        assert (status, told["in_force"], len(told["secrets"])) == (200, True, 1)

    def test_without_valkey_the_secret_is_told_and_that_it_isn_t_in_force(
        self, program: Program, key: ApiKey, no_valkey: None
    ) -> None:
        sent = {"replacing": key.secrets.get().public_id, "overlap_seconds": 0}
        status, told = program.post(f"keys/{key.public_id}/rotate", sent)
        assert (status, told["in_force"], told["in_force_at"]) == (202, False, None)
        assert find_secret(told["secret"])

    @pytest.mark.parametrize("overlap", [-1, 30 * 86_400 + 1, "1", 1.5])
    def test_a_wrong_overlap_is_refused(self, program: Program, key: ApiKey, overlap: Any) -> None:
        sent = {"replacing": key.secrets.get().public_id, "overlap_seconds": overlap}
        assert code_of(program.post(f"keys/{key.public_id}/rotate", sent)) == (400, None, "overlap_seconds")

    def test_a_revoked_key_gets_none(self, program: Program, key: ApiKey) -> None:
        revoke_key(key, actor=None, now=datetime.now(UTC))
        sent = {"replacing": key.secrets.get().public_id}
        assert code_of(program.post(f"keys/{key.public_id}/rotate", sent)) == (409, "key_revoked", None)


class TestRevoking:
    @pytest.mark.django_db(transaction=True)
    def test_every_gateway_refuses_when_it_is_answered(self, acting: Acting, key: ApiKey) -> None:
        status, told = acting[1].post(f"keys/{key.public_id}/revoke", {"reason": "leaked"})
        assert (status, told["state"], told["in_force"]) == (200, "revoked", True)
        assert told["revoked_at"]
        assert told["in_force_at"]
        stored = valkey().hget(names.key_hash(key.organization.public_id, key.public_id), "revoked")
        assert stored == b"1"
        entry = AuditEntry.objects.get(action="key.revoke")
        assert (entry.actor_key, entry.reason) == (acting[0], "leaked")

    def test_without_valkey_it_is_stored_and_said_not_to_be_in_force(
        self, program: Program, key: ApiKey, no_valkey: None
    ) -> None:
        status, told = program.post(f"keys/{key.public_id}/revoke")
        assert (status, told["state"], told["in_force"], told["in_force_at"]) == (202, "revoked", False, None)
        key.refresh_from_db()
        assert key.revoked_at

    def test_twice_is_once(self, program: Program, key: ApiKey) -> None:
        first, second = (program.post(f"keys/{key.public_id}/revoke")[1] for _ in range(2))
        assert first["revoked_at"] == second["revoked_at"]
        assert AuditEntry.objects.filter(action="key.revoke").count() == 1

    def test_a_key_can_end_itself(self, acting: Acting) -> None:
        key, program = acting
        assert program.post(f"keys/{key.public_id}/revoke")[1]["state"] == "revoked"
        assert code_of(program.get("keys")) == (401, "invalid_api_key", None)


def test_an_outsider_sees_and_changes_nothing(outsider: Program, key: ApiKey) -> None:
    secret = key.secrets.get().public_id
    missing = (404, "key_not_found", None)
    assert key.public_id not in str(outsider.get("keys", limit=100))
    assert code_of(outsider.get("keys", after=key.public_id)) == missing
    assert code_of(outsider.get(f"keys/{key.public_id}")) == missing
    assert code_of(outsider.patch(f"keys/{key.public_id}", name="mine")) == missing
    assert code_of(outsider.post(f"keys/{key.public_id}/rotate", {"replacing": secret})) == missing
    assert code_of(outsider.post(f"keys/{key.public_id}/revoke")) == missing
    nothing = outsider.get("keys/key_nothing")
    assert nothing == outsider.get(f"keys/{key.public_id}"), "what isn't theirs looks as what doesn't exist"
    key.refresh_from_db()
    assert (key.version, key.secrets.count(), key.revoked_at) == (1, 1, None)
