"""A key can't make, widen or take over a key beyond its own scopes, models, networks, expiry, limits and budgets."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.key_terms import KeyTerms
from accounts.models import ApiKey, Organization
from api.bounds import beyond
from gateway.deciding.matching import model_allowed
from hotstate.records import Budgets, Limits
from tests.api.program import Program, code_of
from tests.cast import DOLLAR, make_key

END = datetime(2100, 1, 1, tzinfo=UTC)
# What the key that acts may do.
BOUND: dict[str, Any] = {
    "scopes": ["chat", "keys:read", "keys:write"],
    "allowed_models": ["acme/*", "demo"],
    "allowed_networks": ["127.0.0.0/8", "2001:db8::/32"],
    "expires_at": END,
    "limits": Limits(requests_per_minute=60),
    "budgets": Budgets(month=10 * DOLLAR),
}
WITHIN: dict[str, Any] = {
    "name": "inner",
    "scopes": ["chat"],
    "models": ["acme/small*"],
    "networks": ["127.0.0.1"],
    "expires_at": "2099-01-01T00:00:00Z",
    "requests_per_minute": 60,
    "budget_month": "10",
}
BEYOND = [
    ({"scopes": ["chat", "embeddings"]}, "scopes"),
    ({"models": []}, "models"),
    ({"models": ["acme*"]}, "models"),
    ({"models": ["*"]}, "models"),
    ({"models": ["demo", "demo2"]}, "models"),
    ({"networks": []}, "networks"),
    ({"networks": ["0.0.0.0/0"]}, "networks"),
    ({"networks": ["127.0.0.0/7"]}, "networks"),
    ({"networks": ["2001:db9::1"]}, "networks"),
    ({"expires_at": None}, "expires_at"),
    ({"expires_at": "2100-01-01T00:00:01Z"}, "expires_at"),
    ({"requests_per_minute": None}, "requests_per_minute"),
    ({"requests_per_minute": 61}, "requests_per_minute"),
    ({"budget_month": None}, "budget_month"),
    ({"budget_month": "10.000000001"}, "budget_month"),
]


@pytest.fixture
def bound(organization: Organization) -> Program:
    return Program(make_key(organization, name="bound", **BOUND)[1])


@pytest.mark.django_db
class TestThroughTheApi:
    def test_a_key_within_is_made(self, bound: Program) -> None:
        assert bound.post("keys", WITHIN)[0] == 201

    @pytest.mark.parametrize(("wider", "param"), BEYOND)
    def test_no_key_beyond_is_made(self, bound: Program, wider: dict[str, Any], param: str) -> None:
        assert code_of(bound.post("keys", {**WITHIN, **wider})) == (403, "beyond_this_key", param)
        assert ApiKey.objects.count() == 1

    @pytest.mark.parametrize(("wider", "param"), BEYOND)
    def test_no_key_is_widened_beyond(self, bound: Program, wider: dict[str, Any], param: str) -> None:
        made = bound.post("keys", WITHIN)[1]["id"]
        assert code_of(bound.patch(f"keys/{made}", **wider)) == (403, "beyond_this_key", param)
        assert ApiKey.objects.get(public_id=made).version == 1

    def test_not_itself_either(self, bound: Program) -> None:
        own = ApiKey.objects.get().public_id
        assert code_of(bound.patch(f"keys/{own}", budget_month="11")) == (403, "beyond_this_key", "budget_month")

    def test_a_wider_key_can_be_narrowed_and_named_but_not_mixed_with_one_s_own(
        self, bound: Program, organization: Organization
    ) -> None:
        wide = make_key(organization, scopes=["embeddings"])[0].public_id
        assert bound.patch(f"keys/{wide}", name="other", requests_per_day=5)[1]["requests_per_day"] == 5
        # Neither of the two may chat on every model.
        assert code_of(bound.patch(f"keys/{wide}", scopes=["embeddings", "chat"]))[:2] == (403, "beyond_this_key")

    def test_a_wider_key_s_secret_is_not_had_by_rotating_it(self, bound: Program, organization: Organization) -> None:
        wide = make_key(organization, scopes=["embeddings"])[0]
        sent = {"replacing": wide.secrets.get().public_id}
        assert code_of(bound.post(f"keys/{wide.public_id}/rotate", sent)) == (403, "beyond_this_key", "scopes")
        assert wide.secrets.count() == 1

    def test_a_wider_key_can_be_revoked(self, bound: Program, organization: Organization) -> None:
        wide = make_key(organization, scopes=["embeddings"])[0]
        assert bound.post(f"keys/{wide.public_id}/revoke")[1]["state"] == "revoked"


TERMS = KeyTerms(name="", scopes=["chat"], allowed_models=[], allowed_networks=[], expires_at=None)
patterns = st.lists(st.text("ab*", min_size=1, max_size=5), max_size=3)
ids = st.text("ab", min_size=1, max_size=6)


@given(patterns, patterns, ids)
def test_patterns_within_allow_no_model_that_the_others_don_t(inner: list[str], outer: list[str], model: str) -> None:
    asked, bound = replace(TERMS, allowed_models=inner), replace(TERMS, allowed_models=outer)
    if not beyond(asked, bound) and model_allowed(model, frozenset(inner)):
        assert model_allowed(model, frozenset(outer))


limits = st.builds(
    Limits, requests_per_minute=st.none() | st.integers(1, 9), concurrent_requests=st.none() | st.just(5)
)


@given(limits, limits)
def test_limits_within_are_never_more(inner: Limits, outer: Limits) -> None:
    within = not beyond(replace(TERMS, limits=inner), replace(TERMS, limits=outer))
    pairs = [(getattr(inner, name), getattr(outer, name)) for name in ("requests_per_minute", "concurrent_requests")]
    endless = 10**6
    assert within == all((asked or endless) <= (most or endless) for asked, most in pairs)


def test_nothing_goes_beyond_itself() -> None:
    terms = KeyTerms(name="", **BOUND)
    assert beyond(terms, terms) == []
    assert beyond(replace(terms, expires_at=END + timedelta(seconds=1)), terms) == ["expires_at"]
