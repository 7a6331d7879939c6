"""Keys are refused at the management API as at the gateway: in its order, with its status, code and text."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.keys import find_secret
from accounts.models import ApiKey, ApiKeySecret, Organization
from accounts.organizations import suspend
from api import errors, throttles
from gateway.deciding.verdicts import Verdict
from gateway.errors import MISSING_KEY, ApiError, refusal
from tests.api.conftest import EVERYTHING
from tests.api.program import Program, code_of
from tests.cast import make_key

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
AGO = NOW - timedelta(minutes=1)
Acting = tuple[ApiKey, Program]


def refused(answer: tuple[int, dict[str, Any]], error: ApiError) -> None:
    expected = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    assert answer == (error.status, {"error": expected})


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic eDp5", "Token x"])
def test_no_key_is_told_how_to_send_one(db: None, header: str) -> None:
    answer = Client(headers={"Authorization": header} if header else {}).get("/api/v1/keys")
    refused((answer.status_code, answer.json()), MISSING_KEY)


@pytest.mark.parametrize("text", ["nonsense", "km-sk-" + "a" * 46, "\xff", "x" * 9000])
def test_garbage_costs_no_look_up(text: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        refused(Program(text).get("keys"), refusal(Verdict.MALFORMED))


def test_a_key_that_nobody_has_is_unknown(organization: Organization) -> None:
    secret = make_key(organization, scopes=EVERYTHING)[1]
    ApiKeySecret.objects.update(digest=b"\0" * 32)
    refused(Program(secret).get("keys"), refusal(Verdict.UNKNOWN))


def test_a_key_of_an_earlier_pepper_works(organization: Organization, settings: Any) -> None:
    program = Program(make_key(organization, scopes=EVERYTHING)[1])
    settings.KEY_PEPPERS = {**settings.KEY_PEPPERS, max(settings.KEY_PEPPERS) + 1: b"1" * 32}
    assert program.get("keys")[0] == 200
    settings.KEY_PEPPERS = {9: b"2" * 32}
    refused(program.get("keys"), refusal(Verdict.UNKNOWN))


def test_a_revoked_key_is_refused(acting: Acting) -> None:
    ApiKey.objects.update(revoked_at=AGO)
    refused(acting[1].get("keys"), refusal(Verdict.REVOKED))


def test_an_expired_key_is_refused(acting: Acting) -> None:
    ApiKey.objects.update(expires_at=AGO)
    refused(acting[1].get("keys"), refusal(Verdict.EXPIRED))


def test_a_lapsed_secret_is_refused(acting: Acting) -> None:
    ApiKeySecret.objects.update(lapses_at=AGO)
    refused(acting[1].get("keys"), refusal(Verdict.EXPIRED))


def test_a_suspended_organization_is_refused(acting: Acting, organization: Organization) -> None:
    suspend(organization, actor=None, reason="", now=NOW)
    refused(acting[1].get("keys"), refusal(Verdict.SUSPENDED))


def test_an_address_outside_its_networks_is_refused(acting: Acting, settings: Any) -> None:
    ApiKey.objects.update(allowed_networks=["203.0.113.0/24"])
    refused(acting[1].get("keys"), refusal(Verdict.ADDRESS_NOT_ALLOWED, "127.0.0.1"))
    ApiKey.objects.update(allowed_networks=["127.0.0.0/8"])
    assert acting[1].get("keys")[0] == 200


def test_only_trusted_proxies_say_whose_address_it_is(acting: Acting, settings: Any) -> None:
    ApiKey.objects.update(allowed_networks=["203.0.113.0/24"])
    spoofed = {"X-Forwarded-For": "203.0.113.9"}
    assert acting[1].client.get("/api/v1/keys", headers=spoofed).status_code == 403
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    assert acting[1].client.get("/api/v1/keys", headers=spoofed).status_code == 200
    spoofed = {"X-Forwarded-For": "203.0.113.9, 198.51.100.1"}
    assert acting[1].client.get("/api/v1/keys", headers=spoofed).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "keys", "keys:read"),
        ("GET", "keys/key_x", "keys:read"),
        ("POST", "keys", "keys:write"),
        ("PATCH", "keys/key_x", "keys:write"),
        ("POST", "keys/key_x/rotate", "keys:write"),
        ("POST", "keys/key_x/revoke", "keys:write"),
    ],
)
def test_each_call_wants_its_scope(organization: Organization, method: str, path: str, scope: str) -> None:
    others = [known for known in EVERYTHING if known != scope]
    without = Program(make_key(organization, scopes=others)[1])
    answer = without.client.generic(method, f"/api/v1/{path}", b"{}", "application/json")
    refused((answer.status_code, answer.json()), refusal(Verdict.SCOPE_MISSING, scope))  # type: ignore[attr-defined]
    sufficient = Program(make_key(organization, scopes=[scope])[1])
    assert sufficient.client.generic(method, f"/api/v1/{path}", b"{}", "application/json").status_code in (
        200,
        400,
        404,
    )


def test_the_order_of_refusals_is_the_gateway_s(acting: Acting, organization: Organization) -> None:
    suspend(organization, actor=None, reason="", now=NOW)
    wrong = {"revoked_at": AGO, "expires_at": AGO, "allowed_networks": ["203.0.113.0/24"], "scopes": ["chat"]}
    right = {"revoked_at": None, "expires_at": None, "allowed_networks": [], "scopes": EVERYTHING}
    ApiKey.objects.update(**wrong)
    seen = []
    for mended in ("revoked_at", "expires_at", "", "allowed_networks", "scopes"):
        seen.append(code_of(acting[1].get("keys"))[:2])
        if mended:
            ApiKey.objects.update(**{mended: right[mended]})
        else:
            Organization.objects.update(suspended_at=None)
    assert seen == [
        (401, "invalid_api_key"),
        (401, "invalid_api_key"),
        (403, "organization_suspended"),
        (403, "address_not_allowed"),
        (401, "missing_scope"),
    ]


class TestRates:
    def test_an_organization_s_keys_share_their_reads(self, acting: Acting, settings: Any, outsider: Program) -> None:
        settings.MANAGEMENT_READS_PER_MINUTE = 2
        other = Program(make_key(acting[0].organization, scopes=EVERYTHING)[1])
        assert [program.get("keys")[0] for program in (acting[1], other, acting[1])] == [200, 200, 429]
        answer = other.client.get("/api/v1/keys")
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert 0 < int(answer["Retry-After"]) <= 60
        assert outsider.get("keys")[0] == 200

    def test_writes_are_counted_apart(self, acting: Acting, settings: Any) -> None:
        settings.MANAGEMENT_WRITES_PER_MINUTE = 1
        assert [acting[1].post("keys", {})[0] for _ in range(2)] == [400, 429]
        assert acting[1].get("keys")[0] == 200

    def test_unknown_keys_are_limited_by_address_and_known_ones_served(self, acting: Acting) -> None:
        stranger = Program(make_key(acting[0].organization)[1])
        ApiKeySecret.objects.exclude(api_key=acting[0]).update(digest=b"\0" * 32)
        most = throttles.UNKNOWN_KEYS_PER_MINUTE
        assert {stranger.get("keys")[0] for _ in range(most)} == {401}
        assert code_of(stranger.get("keys")) == (429, "rate_limit_exceeded", None)
        assert acting[1].get("keys")[0] == 200


class TestOtherAddresses:
    def test_what_isn_t_there_is_told_as_json(self, db: None) -> None:
        answer = Client().get("/api/v1/nothing/here")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE"])
    def test_a_wrong_method_is_told_as_json(self, program: Program, method: str) -> None:
        answer = program.client.generic(method, "/api/v1/keys")
        assert answer.status_code == 405
        assert answer.json()["error"]["code"] == "method_not_allowed"  # type: ignore[attr-defined]


def test_a_session_is_worth_nothing(client: Client, organization: Organization) -> None:
    client.force_login(organization.members.get(), backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.get("/api/v1/keys").status_code == 401


def test_a_broken_view_tells_nothing_of_it(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the secret recipe")

    monkeypatch.setattr("api.keys._page_size", broken)
    answer = program.get("keys")
    assert code_of(answer) == (500, "internal_error", None)
    assert "recipe" not in str(answer)


def test_find_secret_knows_no_one_by_part_of_a_secret(organization: Organization) -> None:
    secret = make_key(organization)[1]
    assert find_secret(secret)
    assert find_secret(secret[:-1]) is None


def test_every_error_of_its_own_is_documented() -> None:
    text = (Path(__file__).resolve().parent.parent.parent / "docs" / "management-api.md").read_text()
    rows = [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in text.splitlines()]
    documented = {(row[1], row[2]) for row in rows if len(row) == 3 and re.fullmatch(r"\d{3}", row[1])}
    here = [value for value in vars(errors).values() if isinstance(value, ApiError)]
    assert {(str(error.status), error.code or "") for error in here} == documented
