"""Editing what a key may do, and its limits with what is used of them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.key_terms import MOST_LISTED
from accounts.models import ApiKey, AuditEntry, Membership, Organization, Role, User
from catalog.models import Model
from hotstate.records import Budgets, Limits
from tests.cast import DOLLAR, make_key
from tests.website.browsing import use

Browse = Callable[[User], Client]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _valkey(empty_valkey: Any) -> None: ...


@pytest.fixture
def page(organization: Organization, key: ApiKey) -> str:
    return f"/o/{organization.public_id}/keys/{key.public_id}/"


def form(version: int = 1, **fields: Any) -> dict[str, Any]:
    filled = {"version": version, "name": "production", "scopes": ["chat"], "models_allowed": "all", "expiry": "none"}
    return {**filled, **fields}


class TestEditing:
    def test_everything_is_as_typed_and_shown_again(
        self, browse: Browse, owner: User, key: ApiKey, model: Model, page: str
    ) -> None:
        sent = form(
            name="batch",
            scopes=["embeddings"],
            models_allowed="chosen",
            models=[model.public_id],
            patterns="acme/*\r\n\r\nacme/*\nother-?".replace("?", "1"),
            networks="203.0.113.7/24\n2001:DB8::/32",
            requests_per_minute="60",
            tokens_per_minute="1000",
            requests_per_day="5000",
            concurrent_requests="4",
            budget_day="1.50",
            budget_total="$20",
        )
        browser = browse(owner)
        answer = browser.post(f"{page}edit/", sent, follow=True)
        assert "in force at every gateway" in answer.content.decode()
        key.refresh_from_db()
        assert (key.name, key.scopes) == ("batch", ["embeddings"])
        assert key.allowed_models == ["acme/*", model.public_id, "other-1"]
        assert key.allowed_networks == ["2001:db8::/32", "203.0.113.0/24"]
        assert key.limits == Limits(
            requests_per_minute=60, tokens_per_minute=1000, requests_per_day=5000, concurrent_requests=4
        )
        assert key.budgets == Budgets(day=3 * DOLLAR // 2, total=20 * DOLLAR)
        again = browser.get(f"{page}edit/").content.decode()
        for shown in ('value="1.50"', 'value="20.00"', 'value="5000"', "acme/*\nother-1", "203.0.113.0/24", "batch"):
            assert shown in again
        entry = AuditEntry.objects.get(action="key.change")
        assert (entry.actor, entry.after["budget_day_nanos"]) == (owner, 3 * DOLLAR // 2)

    def test_a_key_with_as_many_networks_as_there_can_be_is_renamed(
        self, browse: Browse, owner: User, organization: Organization, model: Model
    ) -> None:
        networks = [f"10.0.{place}.0/24" for place in range(MOST_LISTED)]
        key, _ = make_key(organization, allowed_networks=networks)
        browse(owner).post(f"{key.get_absolute_url()}edit/", form(name="renamed", networks="\n".join(networks)))
        key.refresh_from_db()
        assert (key.name, len(key.allowed_networks)) == ("renamed", MOST_LISTED)

    def test_chosen_models_and_patterns_are_counted_together(
        self, browse: Browse, owner: User, model: Model, key: ApiKey, page: str
    ) -> None:
        patterns = "\n".join(f"acme/{place}-*" for place in range(MOST_LISTED))
        sent = form(models_allowed="chosen", models=[model.public_id], patterns=patterns)
        answer = browse(owner).post(f"{page}edit/", sent).content.decode()
        assert f"At most {MOST_LISTED} models and patterns; these are {MOST_LISTED + 1}." in answer

    def test_what_the_page_shows_sent_back_changes_nothing(
        self, browse: Browse, owner: User, organization: Organization, model: Model
    ) -> None:
        key, _ = make_key(
            organization,
            scopes=["chat", "gone:scope"],
            allowed_models=[model.public_id, "old/*"],
            allowed_networks=["::1/128"],
            expires_at=datetime.now(UTC) + timedelta(days=3, seconds=7),
            budgets=Budgets(week=1_234_000_000_001),
            limits=Limits(requests_per_day=7),
        )
        browser, address = browse(owner), f"{key.get_absolute_url()}edit/"
        shown = browser.get(address).context["form"]
        sent = {name: shown[name].value() for name in shown.fields if shown[name].value() is not None}
        answer = browser.post(address, sent, follow=True)
        assert "Nothing was different" in answer.content.decode()
        key.refresh_from_db()
        assert key.version == 1

    @pytest.mark.parametrize(
        ("wrong", "complaint"),
        [
            ({"networks": "10.0.0.0/33\nfine\n10.1.2.3"}, "“fine” is neither an address nor a network"),
            ({"networks": "10.0.0.0/33\nfine"}, "“10.0.0.0/33” is neither"),
            ({"networks": "\n".join(f"10.0.0.{n}" for n in range(101))}, "At most 100 lines; these are 101"),
            ({"models_allowed": "chosen", "patterns": "a b"}, "“a b” is no model id or pattern"),
            ({"models_allowed": "chosen"}, "Choose at least one model"),
            ({"requests_per_minute": "0"}, "greater than or equal to 1"),
            ({"tokens_per_minute": "1.5"}, "Enter a whole number"),
            ({"concurrent_requests": str(10**13)}, "less than or equal to"),
            ({"budget_day": "0"}, "Zero would refuse every request"),
            ({"budget_week": "-1"}, "be negative"),
            ({"budget_month": "9000000.000000001"}, "The largest budget is $9,000,000"),
            ({"budget_total": "1,000"}, "no thousands separators"),
            ({"version": "x"}, "Enter a whole number"),
        ],
    )
    def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
        self, browse: Browse, owner: User, key: ApiKey, page: str, wrong: dict[str, Any], complaint: str
    ) -> None:
        answer = browse(owner).post(f"{page}edit/", form(**{"name": "kept", **wrong}))
        assert answer.status_code == 200
        if "version" not in wrong:
            assert complaint in answer.content.decode()
        assert "kept" in answer.content.decode()
        key.refresh_from_db()
        assert key.version == 1

    def test_a_change_by_somebody_else_is_said_and_then_replaced_knowingly(
        self, browse: Browse, owner: User, key: ApiKey, page: str
    ) -> None:
        browser = browse(owner)
        browser.post(f"{page}edit/", form(name="theirs"))
        answer = browser.post(f"{page}edit/", form(name="mine"))
        assert "was changed since you opened the page" in answer.content.decode()
        assert 'value="mine"' in answer.content.decode()
        key.refresh_from_db()
        assert key.name == "theirs"
        version = answer.context["form"]["version"].value()
        assert browser.post(f"{page}edit/", form(version, name="mine")).status_code == 302
        key.refresh_from_db()
        assert key.name == "mine"

    def test_a_viewer_cannot_and_a_developer_can(
        self, browse: Browse, viewer: User, key: ApiKey, organization: Organization, page: str
    ) -> None:
        browser = browse(viewer)
        assert browser.get(f"{page}edit/").status_code == 403
        assert browser.post(f"{page}edit/", form(name="x")).status_code == 403
        assert "edit/" not in browser.get(page).content.decode()
        Membership.objects.filter(user=viewer).update(role=Role.DEVELOPER)
        assert browser.post(f"{page}edit/", form(name="x")).status_code == 302
        key.refresh_from_db()
        assert key.name == "x"

    def test_a_new_key_can_have_limits_from_the_start(
        self, browse: Browse, owner: User, organization: Organization
    ) -> None:
        sent = form(operation_id=str(uuid4()), budget_month="5", networks="::1", requests_per_minute="3")
        browse(owner).post(f"/o/{organization.public_id}/keys/new/", sent)
        key = ApiKey.objects.get()
        assert (key.budget_month_nanos, key.requests_per_minute, key.allowed_networks) == (5 * DOLLAR, 3, ["::1/128"])

    def test_a_wrong_limit_of_a_new_key_is_not_hidden(
        self, browse: Browse, owner: User, organization: Organization
    ) -> None:
        address = f"/o/{organization.public_id}/keys/new/"
        sent = form(operation_id=str(uuid4()), budget_month="x")
        assert 'id="more-limits" open' in browse(owner).post(address, sent).content.decode()
        assert 'id="more-limits">' in browse(owner).get(address).content.decode()


class TestWhatIsUsed:
    @pytest.fixture
    def limited(self, organization: Organization) -> ApiKey:
        limits = Limits(requests_per_minute=60, concurrent_requests=4)
        return make_key(organization, budgets=Budgets(month=DOLLAR), limits=limits)[0]

    def test_a_budget_shows_what_was_posted(self, browse: Browse, owner: User, limited: ApiKey, model: Model) -> None:
        use(limited, model, usage={"input_tokens": 50_000})
        page = browse(owner).get(limited.get_absolute_url()).content.decode()
        assert "Budget, this month" in page
        assert '<progress max="100" value="15"' in page
        assert "$0.85" in page

    def test_without_valkey_it_says_so_and_shows_what_is_set(
        self, browse: Browse, owner: User, limited: ApiKey, model: Model, no_valkey: None
    ) -> None:
        use(limited, model, usage={"input_tokens": 50_000})
        page = browse(owner).get(limited.get_absolute_url()).content.decode()
        assert "used right now can" in page
        assert "$0.85" in page
        assert "unknown" in page
