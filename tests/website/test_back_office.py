"""The back office: what is sold can be changed, audited and announced; what has a history can only be looked at."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client

from accounts.models import AuditEntry, Organization, User
from catalog.models import FAMILIES, Alias, Model, Route, Upstream
from gateway.asking.endpoints import FORWARDED
from hotstate.models import OutboxEntry
from tests.cast import make_model
from tests.website.browsing import passed_second_factor, person, use

pytestmark = pytest.mark.django_db
CREDENTIAL = "sk-upstream-very-secret"


def upstream_form(**fields: str) -> dict[str, str]:
    given = {"name": "lab", "base_url": "https://models.example.com/v1", "enabled": "on", "new_credential": ""}
    return {**given, "convention": "openai", **fields}


def announced() -> int:
    return OutboxEntry.objects.filter(kind=OutboxEntry.Kind.CATALOG).count()


class TestUpstreams:
    def test_a_credential_goes_in_encrypted_and_never_comes_out(self, staff_browser: Client, staff: User) -> None:
        staff_browser.post("/admin/catalog/upstream/add/", upstream_form(new_credential=CREDENTIAL))
        upstream = Upstream.objects.get()
        assert upstream.credential == CREDENTIAL
        assert CREDENTIAL not in upstream.credential_encrypted
        for page in ("", f"{upstream.pk}/change/", f"{upstream.pk}/history/"):
            assert CREDENTIAL not in staff_browser.get(f"/admin/catalog/upstream/{page}").content.decode()
        assert CREDENTIAL not in str(list(AuditEntry.objects.values()))
        assert set(AuditEntry.objects.values_list("action", "actor")) == {
            ("upstream.create", staff.pk),
            ("upstream.credential", staff.pk),
        }

    def test_an_empty_field_keeps_the_credential_and_a_tick_forgets_it(self, staff_browser: Client) -> None:
        staff_browser.post("/admin/catalog/upstream/add/", upstream_form(new_credential=CREDENTIAL))
        upstream = Upstream.objects.get()
        address = f"/admin/catalog/upstream/{upstream.pk}/change/"
        staff_browser.post(address, upstream_form(base_url="https://other.example.com/v1"))
        upstream.refresh_from_db()
        assert (upstream.base_url, upstream.credential) == ("https://other.example.com/v1", CREDENTIAL)
        staff_browser.post(address, upstream_form(forget_credential="on"))
        upstream.refresh_from_db()
        assert upstream.credential == ""

    def test_how_its_counts_are_meant_is_chosen_audited_and_announced(self, staff_browser: Client) -> None:
        staff_browser.post("/admin/catalog/upstream/add/", upstream_form())
        before = announced()
        address = f"/admin/catalog/upstream/{Upstream.objects.get().pk}/change/"
        staff_browser.post(address, upstream_form(convention="anthropic"))
        entry = AuditEntry.objects.latest("id")
        assert (entry.before, entry.after) == ({"convention": "openai"}, {"convention": "anthropic"})
        assert (Upstream.objects.get().convention, announced()) == ("anthropic", before + 1)

    def test_disabling_is_audited_with_before_and_after_and_announced(self, staff_browser: Client) -> None:
        staff_browser.post("/admin/catalog/upstream/add/", upstream_form())
        before = announced()
        disabled = upstream_form()
        del disabled["enabled"]
        staff_browser.post(f"/admin/catalog/upstream/{Upstream.objects.get().pk}/change/", disabled)
        entry = AuditEntry.objects.latest("id")
        assert (entry.action, entry.before, entry.after) == (
            "upstream.change",
            {"enabled": True},
            {"enabled": False},
        )
        assert announced() == before + 1


class TestModels:
    def form(self, upstream: Upstream, **fields: Any) -> dict[str, Any]:
        return {
            "public_id": "lab/chat",
            "name": "Chat",
            "owned_by": "lab",
            "families": ["chat"],
            "context_window": "8192",
            "max_output_tokens": "4096",
            "enabled": "on",
            "visibility": "public",
            "routes-TOTAL_FORMS": "1",
            "routes-INITIAL_FORMS": "0",
            "routes-0-upstream": str(upstream.pk),
            "routes-0-upstream_model": "chat-7b",
            "routes-0-priority": "10",
            "routes-0-weight": 1,
            "routes-0-enabled": "on",
            **fields,
        }

    def test_a_model_is_made_with_its_route(self, staff_browser: Client) -> None:
        upstream = Upstream.objects.create(name="lab", base_url="https://models.example.com/v1")
        answer = staff_browser.post("/admin/catalog/model/add/", self.form(upstream))
        assert answer.status_code == 302
        assert Model.objects.get().families == ["chat"]
        assert Route.objects.get().upstream_model == "chat-7b"
        assert set(AuditEntry.objects.values_list("action", flat=True)) == {"model.create", "route.create"}
        assert announced() == 2

    def test_its_lists_are_written_with_commas_and_audited(self, staff_browser: Client) -> None:
        upstream = Upstream.objects.create(name="lab", base_url="https://models.example.com/v1")
        written = {"aspect_ratios": "1:1, 16:9  1:1", "image_sizes": "1K,2K", "most_images": "4"}
        assert staff_browser.post("/admin/catalog/model/add/", self.form(upstream, **written)).status_code == 302
        model = Model.objects.get()
        assert (model.aspect_ratios, model.image_sizes, model.most_images) == (["1:1", "16:9"], ["1K", "2K"], 4)
        after = AuditEntry.objects.get(action="model.create").after
        assert after["aspect_ratios"] == ["1:1", "16:9"]
        page = staff_browser.get(f"/admin/catalog/model/{model.pk}/change/").content.decode()
        assert 'value="1:1, 16:9"' in page

    @pytest.mark.parametrize(
        ("name", "text", "told"),
        [
            ("aspect_ratios", "wide", "such as 16:9"),
            ("aspect_ratios", "0:1", "such as 16:9"),
            ("image_sizes", "2K, 2k", "Each of them once"),
            ("image_sizes", "a/b", "such as 2K"),
            ("image_sizes", ", ".join(map(str, range(51))), "At most 50"),
            ("most_images", "11", "less than or equal to 10"),
        ],
    )
    def test_lists_that_make_no_sense_are_told_how_to_be(
        self, staff_browser: Client, name: str, text: str, told: str
    ) -> None:
        upstream = Upstream.objects.create(name="lab", base_url="https://models.example.com/v1")
        answer = staff_browser.post("/admin/catalog/model/add/", self.form(upstream, **{name: text}))
        assert told in answer.content.decode()
        assert not Model.objects.exists()

    def test_its_id_stays(self, staff_browser: Client, model: Model) -> None:
        page = staff_browser.get(f"/admin/catalog/model/{model.pk}/change/").content.decode()
        assert 'name="public_id"' not in page

    def test_families_are_those_of_the_gateway(self) -> None:
        assert {endpoint.family for endpoint in FORWARDED.values()} == set(FAMILIES)


class TestAliases:
    def form(self, models: list[Model], **fields: Any) -> dict[str, Any]:
        members = {
            f"members-{place}-{name}": value
            for place, model in enumerate(models)
            for name, value in (("model", model.pk), ("position", place))
        }
        return {
            "public_id": "fast",
            "name": "Fast",
            "choice": "price",
            "enabled": "on",
            "members-TOTAL_FORMS": len(models),
            "members-INITIAL_FORMS": 0,
            **members,
            **fields,
        }

    def test_one_is_made_with_its_models_audited_and_announced(self, staff_browser: Client) -> None:
        models = [make_model("b"), make_model("a")]
        before = announced()
        assert staff_browser.post("/admin/catalog/alias/add/", self.form(models)).status_code == 302
        made = Alias.objects.get()
        assert (made.choice, made.stands_for()) == ("price", ["b", "a"])
        entry = AuditEntry.objects.get(action="alias.models")
        assert (entry.target, entry.after) == ("alias:fast", {"models": [[0, "b"], [1, "a"]]})
        assert AuditEntry.objects.filter(action="alias.create").exists()
        assert announced() > before
        page = staff_browser.get("/admin/catalog/alias/").content.decode()
        assert "b, a" in page
        assert 'name="public_id"' not in staff_browser.get(f"/admin/catalog/alias/{made.pk}/change/").content.decode()

    def test_its_models_are_changed(self, staff_browser: Client) -> None:
        models = [make_model("b"), make_model("a")]
        staff_browser.post("/admin/catalog/alias/add/", self.form(models))
        made = Alias.objects.get()
        first, second = made.members.all()
        changed = self.form(models, choice="latency")
        changed |= {"members-INITIAL_FORMS": 2, "members-0-id": first.pk, "members-1-id": second.pk}
        changed |= {"members-0-alias": made.pk, "members-1-alias": made.pk, "members-0-DELETE": "on"}
        address = f"/admin/catalog/alias/{made.pk}/change/"
        assert staff_browser.post(address, changed).status_code == 302
        assert Alias.objects.get().stands_for() == ["a"]
        entry = AuditEntry.objects.filter(action="alias.models").latest("id")
        assert (entry.before, entry.after) == ({"models": [[0, "b"], [1, "a"]]}, {"models": [[1, "a"]]})
        assert AuditEntry.objects.get(action="alias.change").after == {"choice": "latency"}

    def test_an_id_is_a_models_or_an_aliass(self, staff_browser: Client, model: Model) -> None:
        answer = staff_browser.post("/admin/catalog/alias/add/", self.form([], public_id=model.public_id))
        assert "There is a model of that id." in answer.content.decode()
        staff_browser.post("/admin/catalog/alias/add/", self.form([]))
        upstream = Upstream.objects.get()
        answer = staff_browser.post("/admin/catalog/model/add/", TestModels().form(upstream, public_id="fast"))
        assert "There is an alias of that id." in answer.content.decode()

    def test_a_key_can_be_given_to_one(
        self, staff_browser: Client, browse: Callable[[User], Client], owner: User, organization: Organization
    ) -> None:
        staff_browser.post("/admin/catalog/alias/add/", self.form([make_model("a")]))
        page = browse(owner).get(f"/o/{organization.public_id}/keys/new/").content.decode()
        assert 'value="fast"' in page
        Alias.objects.update(hidden=True)
        assert 'value="fast"' not in browse(owner).get(f"/o/{organization.public_id}/keys/new/").content.decode()

    def test_staff_find_them_beside_models(self, staff_browser: Client) -> None:
        assert 'href="/admin/catalog/alias/"' in staff_browser.get("/staff/models/").content.decode()


class TestHistory:
    def test_nothing_is_deleted(self, staff_browser: Client) -> None:
        request = staff_browser.get("/admin/").wsgi_request
        deletable = [str(model) for model, page in admin.site._registry.items() if page.has_delete_permission(request)]
        assert deletable == []

    @pytest.mark.parametrize(
        "page",
        [
            "accounts/auditentry",
            "accounts/apikey",
            "accounts/organization",
            "accounts/membership",
            "billing/ledgertransaction",
            "billing/creditgrant",
            "billing/priceversion",
            "billing/segment",
            "billing/usageevent",
            "billing/quarantinedline",
        ],
    )
    def test_is_read_only(self, staff_browser: Client, page: str) -> None:
        assert staff_browser.get(f"/admin/{page}/").status_code == 200
        assert staff_browser.get(f"/admin/{page}/add/").status_code == 403

    def test_one_transaction_and_one_event_can_be_looked_at(
        self, staff_browser: Client, organization: Organization, key: Any, model: Model
    ) -> None:
        event = use(key, model)[0]
        entry = organization.ledger_transactions.get()
        assert staff_browser.get(f"/admin/billing/usageevent/{event.pk}/change/").status_code == 200
        page = staff_browser.get(f"/admin/billing/ledgertransaction/{entry.pk}/change/").content.decode()
        assert "revenue" in page.lower()


class TestPeople:
    def test_making_somebody_staff_is_audited(self, staff_browser: Client, outsider: User) -> None:
        address = f"/admin/accounts/user/{outsider.pk}/change/"
        staff_browser.post(address, {"is_active": "on", "is_staff": "on"})
        outsider.refresh_from_db()
        assert outsider.is_staff
        assert AuditEntry.objects.get(action="user.change").after == {"is_staff": True}

    def test_only_superusers_make_others_staff(self, staff_browser: Client, staff: User, outsider: User) -> None:
        from django.contrib.auth.models import Permission

        User.objects.filter(pk=staff.pk).update(is_superuser=False)
        staff.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
        answer = staff_browser.post(
            f"/admin/accounts/user/{outsider.pk}/change/", {"is_staff": "on", "is_active": "on"}
        )
        outsider.refresh_from_db()
        assert answer.status_code == 302
        assert not outsider.is_staff

    def test_staff_without_permissions_see_an_empty_back_office(self, browse: Any) -> None:
        from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret

        clerk = person("clerk@example.com", is_staff=True)
        TOTP.activate(clerk, generate_totp_secret())
        browser = browse(clerk)
        passed_second_factor(browser, clerk)
        assert browser.get("/admin/catalog/upstream/").status_code == 403
