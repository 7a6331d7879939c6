"""The list of keys has pages, can be searched, and costs the same however many keys there are."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, ApiKeySecret, Organization, User
from billing import usage
from hotstate import decision_log
from tests.cast import make_key
from website import explorer, key_list, standing

Browse = Callable[[User], Client]


@pytest.fixture
def see(browse: Browse, owner: User, organization: Organization) -> Callable[..., list[str]]:
    """The names on the page at this address, in order."""
    browser = browse(owner)

    def names(address: str = "") -> list[str]:
        page = browser.get(f"/o/{organization.public_id}/keys/{address}").content.decode()
        return [unescape(name) for name in re.findall(r'class="row-link" href="[^"]+">([^<]+)<', page)]

    return names


class TestPages:
    def test_every_key_is_on_one_page_the_newest_first(
        self, browse: Browse, owner: User, organization: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(key_list, "PAGE", 2)
        for place in range(5):
            make_key(organization, name=f"key {place}")
        browser, address, found = browse(owner), f"/o/{organization.public_id}/keys/?q=key", []
        while address:
            page = browser.get(address).content.decode()
            found.append(re.findall(r">(key \d)<", page))
            older = re.search(r'href="(\?[^"]+)">Older', page)
            address = f"/o/{organization.public_id}/keys/{unescape(older[1])}" if older else ""
        assert found == [["key 4", "key 3"], ["key 2", "key 1"], ["key 0"]]

    def test_a_page_asks_of_its_own_keys_alone(
        self, organization: Organization, see: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(key_list, "PAGE", 1)
        make_key(organization, name="old")
        new, _ = make_key(organization, name="new")
        asked: list[list[ApiKey]] = []
        monkeypatch.setattr(usage, "spend_by_key", lambda keys, **_: asked.append(list(keys)) or {})
        monkeypatch.setattr(standing, "tightest", lambda _, keys, now: asked.append(list(keys)) or {})
        assert see() == ["new"]
        assert asked == [[new], [new]]

    def test_a_key_of_somebody_else_begins_no_page(
        self, browse: Browse, owner: User, outsider: User, organization: Organization
    ) -> None:
        key, _ = make_key(outsider.organizations.get())
        assert browse(owner).get(f"/o/{organization.public_id}/keys/?after={key.public_id}").status_code == 404


class TestSearching:
    def test_by_a_part_of_the_name_by_id_and_by_how_a_secret_ends(self, organization: Organization, see: Any) -> None:
        key, secret = make_key(organization, name="Nightly batch")
        make_key(organization, name="other")
        for query in ("batch", "nIGHT", key.public_id, secret[-4:], f"km-…{secret[-4:]}"):
            assert see(f"?q={query}") == ["Nightly batch"], query
        assert see("?q=nothing+like+it") == []

    def test_a_secret_that_was_replaced_leads_to_its_key(self, organization: Organization, see: Any) -> None:
        key, _ = make_key(organization)
        ApiKeySecret.objects.filter(api_key=key).update(lapses_at=datetime.now(UTC), last4="OLD1")
        ApiKeySecret.objects.create(api_key=key, digest=b"x" * 32, pepper_id=1, last4="NEW1", created_at=key.created_at)
        assert see("?q=OLD1") == [key.name]

    def test_never_in_another_organization(self, organization: Organization, outsider: User, see: Any) -> None:
        key, secret = make_key(outsider.organizations.get(), name="theirs")
        for query in ("theirs", key.public_id, secret[-4:]):
            assert see(f"?state=any&q={query}") == []

    def test_a_percent_sign_stands_for_itself(self, organization: Organization, see: Any) -> None:
        make_key(organization, name="all of it")
        make_key(organization, name="100% of it")
        assert see("?q=%25") == ["100% of it"]


class TestStates:
    def test_each_has_its_own_keys(self, organization: Organization, see: Any) -> None:
        now = datetime.now(UTC)
        for name in ("active", "expired", "revoked"):
            make_key(organization, name=name, expires_at=now + timedelta(days=1))
        ApiKey.objects.filter(name="expired").update(expires_at=now)
        ApiKey.objects.filter(name="revoked").update(revoked_at=now, expires_at=now)
        for state in ("active", "expired", "revoked"):
            assert see(f"?state={state}") == [state]
        assert see("?state=any") == ["revoked", "expired", "active"]
        assert see() == ["active"]

    def test_one_that_is_none_is_not_found(self, browse: Browse, owner: User, organization: Organization) -> None:
        assert browse(owner).get(f"/o/{organization.public_id}/keys/?state=lost").status_code == 404

    def test_where_nothing_fits_the_way_on_is_shown(
        self, browse: Browse, owner: User, organization: Organization
    ) -> None:
        make_key(organization)
        ApiKey.objects.update(revoked_at=datetime.now(UTC))
        page = browse(owner).get(f"/o/{organization.public_id}/keys/").content.decode()
        assert "No keys yet" not in page
        assert 'href="?state=any"' in page


class TestOtherPages:
    def test_the_usage_filter_offers_the_newest_keys_and_the_chosen_one(
        self, browse: Browse, owner: User, organization: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(explorer, "CHOOSABLE", 2)
        keys = [make_key(organization, name=f"key {place}")[0] for place in range(4)]
        page = browse(owner).get(f"/o/{organization.public_id}/usage/?key={keys[0].public_id}").content.decode()
        assert re.findall(r">(key \d)<", page) == ["key 0", "key 2", "key 3"]

    def test_refusals_name_their_keys(
        self, browse: Browse, owner: User, organization: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key, _ = make_key(organization, name="the refused")
        make_key(organization, name="another")
        record = decision_log.DecisionRecord(
            id="01999999-0000-7000-8000-000000000000", at_ms=1, verdict="revoked", face="gateway", key=key.public_id
        )
        monkeypatch.setattr(decision_log, "newest_refusals", lambda *_: [record])
        page = browse(owner).get(f"/o/{organization.public_id}/refusals/").content.decode()
        assert "the refused" in page
        assert "another" not in page
