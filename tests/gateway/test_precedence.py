"""Where two things are wrong, the one that comes first in the order is told, on every face."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest

from accounts.keys import revoke_key, rotate_key
from accounts.models import ApiKey
from accounts.organizations import suspend
from accounts.secrets import generate
from gateway.deciding.verdicts import Verdict
from gateway.errors import refusal
from tests.cast import DOLLAR, give_credit, make_key, make_organization
from tests.gateway.other_gateway import OtherGateway, other, spend_nanos
from tests.gateway.test_limits import change_key

__all__ = ["other"]

NOW = datetime.now(UTC)
ORDER = [
    Verdict.MALFORMED,
    Verdict.UNKNOWN,
    Verdict.REVOKED,
    Verdict.EXPIRED,
    Verdict.SUSPENDED,
    Verdict.ADDRESS_NOT_ALLOWED,
    Verdict.SCOPE_MISSING,
    Verdict.MODEL_NOT_FOUND,
    Verdict.BUDGET_EXHAUSTED,
    Verdict.INSUFFICIENT_BALANCE,
    Verdict.RATE_LIMITED,
    Verdict.CONCURRENCY_LIMITED,
]
# What `verify` holds.
ONE = spend_nanos(100 + 64, 100)
CHANGES: dict[Verdict, dict[str, Any]] = {
    Verdict.EXPIRED: {"expires_at": NOW - timedelta(seconds=1)},
    Verdict.ADDRESS_NOT_ALLOWED: {"allowed_networks": ["10.0.0.0/8"]},
    Verdict.SCOPE_MISSING: {"scopes": ["embeddings"]},
    Verdict.MODEL_NOT_FOUND: {"allowed_models": ["other"]},
    Verdict.BUDGET_EXHAUSTED: {"budget_day_nanos": 1},
    Verdict.CONCURRENCY_LIMITED: {"concurrent_requests": 1},
}


def lapse(key: ApiKey) -> None:
    """End the secret that is shown, not the key."""
    current = key.secrets.get().public_id
    rotate_key(key, replacing=current, overlap=timedelta(0), actor=None, now=NOW - timedelta(seconds=1))
    key.refresh_from_db()


def wrong(asked: OtherGateway, verdicts: set[Verdict], *, expire: Callable[[ApiKey], None] | None = None) -> str:
    """A secret of a key with which all these things are wrong."""
    organization = make_organization()
    before = bool(verdicts & {Verdict.RATE_LIMITED, Verdict.CONCURRENCY_LIMITED})
    if Verdict.INSUFFICIENT_BALANCE not in verdicts or before:
        give_credit(organization, ONE if Verdict.INSUFFICIENT_BALANCE in verdicts else DOLLAR)
    key, secret = make_key(organization)
    if Verdict.RATE_LIMITED in verdicts:
        change_key(key, requests_per_minute=1)
    if before:
        told = asked.verify(secret).json
        assert told["valid"]
        if not verdicts & {Verdict.CONCURRENCY_LIMITED, Verdict.INSUFFICIENT_BALANCE}:
            asked.call("/v1/keys/release", {"request_id": told["request_id"], "org": told["org"]})
    if expire and Verdict.EXPIRED in verdicts:
        verdicts = verdicts - {Verdict.EXPIRED}
        expire(key)
    change_key(key, **{name: value for verdict in verdicts for name, value in CHANGES.get(verdict, {}).items()})
    if Verdict.REVOKED in verdicts:
        revoke_key(key, actor=None, now=NOW)
    if Verdict.SUSPENDED in verdicts:
        suspend(organization, actor=None, reason="test", now=NOW)
    if Verdict.UNKNOWN in verdicts:
        secret = generate("km-sk").text
    if Verdict.MALFORMED in verdicts:
        secret = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    return secret


def test_the_order_is_that_of_the_verdicts() -> None:
    assert [*ORDER, Verdict.ALLOWED] == list(Verdict)


@pytest.mark.parametrize(("first", "second"), list(combinations(ORDER, 2)))
def test_the_first_of_two_is_told(other: OtherGateway, first: Verdict, second: Verdict) -> None:
    assert_told(other, first, wrong(other, {first, second}))


@pytest.mark.parametrize("later", ORDER[ORDER.index(Verdict.EXPIRED) + 1 :])
def test_a_secret_that_lapsed_is_expired(other: OtherGateway, later: Verdict) -> None:
    assert_told(other, Verdict.EXPIRED, wrong(other, {Verdict.EXPIRED, later}, expire=lapse))


def test_a_secret_that_lapsed_of_a_key_that_was_revoked(other: OtherGateway) -> None:
    assert_told(other, Verdict.REVOKED, wrong(other, {Verdict.REVOKED, Verdict.EXPIRED}, expire=lapse))


def assert_told(other: OtherGateway, verdict: Verdict, secret: str) -> None:
    error = refusal(verdict)
    expected = (error.status, error.type, error.code)
    told = other.verify(secret).json
    assert (told["valid"], told["code"], told["hold"]) == (False, verdict, None)
    checked = other.check(secret=secret, X__Auth__Model="demo-chat")
    assert checked.error == expected
    other.asked.secret = secret
    proxied = other.asked.chat(max_tokens=100)
    assert proxied.error == expected
    assert told["error"]["error"]["message"].split(":")[0] == proxied.json["error"]["message"].split(":")[0]
