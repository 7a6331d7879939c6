"""The list of keys shows how much of a key's tightest budget is used."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.test import Client

from accounts.models import ApiKey, Organization, User
from catalog.models import Model
from hotstate import holds
from hotstate.records import Budgets
from tests.cast import DOLLAR, make_key
from tests.website.browsing import use

Browse = Callable[[User], Client]


class TestBudgetsInTheList:
    def page(self, browse: Browse, owner: User, organization: Organization) -> str:
        page = browse(owner).get(f"/o/{organization.public_id}/keys/?state=any").content.decode()
        return re.sub(r"\s+", " ", page)

    def test_the_one_of_which_most_is_used_is_shown(
        self, browse: Browse, owner: User, organization: Organization, model: Model, empty_valkey: Any
    ) -> None:
        budgets = Budgets(day=9_000_000, month=5_000_000, total=DOLLAR)
        key, _ = make_key(organization, name="tight", budgets=budgets)
        make_key(organization, name="loose")
        use(key, model)  # 4,500,000
        page = self.page(browse, owner, organization)
        assert page.count("<progress") == 1
        assert 'class="nearly" max="100" value="90"' in page
        assert 'title="Budget, this month: $0.004500000 of $0.005000000"' in page

    def test_what_runs_counts_as_used(
        self, browse: Browse, owner: User, organization: Organization, empty_valkey: Any
    ) -> None:
        key, _ = make_key(organization, budgets=Budgets(day=1_000))
        hold = holds.Hold(organization.public_id, str(uuid4()), holds.OPEN, 250, key.public_id)
        holds.register(empty_valkey, [hold], 2**40)
        assert 'value="25"' in self.page(browse, owner, organization)

    def test_without_valkey_it_is_what_was_posted(
        self, browse: Browse, owner: User, organization: Organization, model: Model, no_valkey: None
    ) -> None:
        key, _ = make_key(organization, budgets=Budgets(week=9_000_000))
        use(key, model)
        assert 'value="50"' in self.page(browse, owner, organization)

    def test_a_revoked_key_has_none(self, browse: Browse, owner: User, organization: Organization) -> None:
        make_key(organization, budgets=Budgets(day=1_000))
        ApiKey.objects.update(revoked_at=datetime.now(UTC))
        assert "<progress" not in self.page(browse, owner, organization)

    def test_many_of_them_cost_no_more_queries(
        self,
        browse: Browse,
        owner: User,
        organization: Organization,
        empty_valkey: Any,
        django_assert_max_num_queries: Any,
    ) -> None:
        for place in range(20):
            make_key(organization, name=f"key {place}", budgets=Budgets(day=1_000))
        browser = browse(owner)
        with django_assert_max_num_queries(10):
            assert browser.get(f"/o/{organization.public_id}/keys/").content.count(b"<progress") == 20
