"""Creating, showing once and revoking keys."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from accounts.models import ApiKey, AuditEntry, Membership, Organization, Role, User
from billing.models import UsageEvent
from catalog.models import Model
from hotstate import outbox
from tests.cast import make_key
from tests.website.browsing import use

Browse = Callable[[User], Client]


def form(**fields: Any) -> dict[str, Any]:
    filled = {"operation_id": str(uuid4()), "name": "server", "scopes": ["chat"], "models_allowed": "all"}
    return {**filled, "expiry": "none", **fields}


def secret_in(page: bytes) -> str:
    found = re.search(r'<code id="secret"[^>]*>([^<]+)</code>', page.decode())
    assert found
    return found[1].strip()


class TestCreating:
    def test_the_secret_is_shown_once_and_stored_nowhere(
        self, browse: Browse, owner: User, organization: Organization
    ) -> None:
        browser = browse(owner)
        answer = browser.post(f"/o/{organization.public_id}/keys/new/", form())
        secret = secret_in(answer.content)
        assert "no-store" in answer["Cache-Control"]
        key = ApiKey.objects.get()
        assert secret.endswith(key.secrets.get().last4)
        for page in ("keys/", f"keys/{key.public_id}/", f"keys/{key.public_id}/revoke/", "", "usage/"):
            assert secret not in browser.get(f"/o/{organization.public_id}/{page}").content.decode()
        assert secret not in str(dict(browser.session.items()))
        assert secret not in str(list(AuditEntry.objects.values()))

    def test_sending_the_form_again_makes_no_second_key_and_shows_no_secret(
        self, browse: Browse, owner: User, organization: Organization
    ) -> None:
        browser, filled = browse(owner), form()
        address = f"/o/{organization.public_id}/keys/new/"
        secret = secret_in(browser.post(address, filled).content)
        again = browser.post(address, filled, follow=True)
        assert ApiKey.objects.count() == 1
        assert secret not in again.content.decode()
        assert "already created" in again.content.decode()
        assert again.redirect_chain[-1][0] == ApiKey.objects.get().get_absolute_url()

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("page", ["keys/new/", "welcome/"])
    def test_sending_the_form_several_times_at_once_makes_one_key(
        self, browse: Browse, owner: User, organization: Organization, page: str
    ) -> None:
        filled, together = form(), Barrier(4)
        browsers = [browse(owner) for _ in range(4)]

        def send(browser: Client) -> int:
            try:
                together.wait(timeout=10)
                return browser.post(f"/o/{organization.public_id}/{page}", filled).status_code
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as threads:
            answers = sorted(threads.map(send, browsers))
        assert answers == [200, 302, 302, 302]
        assert ApiKey.objects.count() == 1
        assert AuditEntry.objects.filter(action="key.create").count() == 1

    def test_the_same_operation_elsewhere_is_another(
        self, browse: Browse, owner: User, outsider: User, organization: Organization
    ) -> None:
        filled = form()
        for user in (owner, outsider):
            own = user.organizations.get()
            secret_in(browse(user).post(f"/o/{own.public_id}/keys/new/", filled).content)
        assert ApiKey.objects.count() == 2

    def test_the_first_key_takes_one_step_and_may_do_everything(
        self, browse: Browse, owner: User, organization: Organization
    ) -> None:
        address = f"/o/{organization.public_id}/welcome/"
        secret_in(browse(owner).post(address, {"operation_id": str(uuid4()), "name": "My first key"}).content)
        key = ApiKey.objects.get()
        assert (key.name, key.allowed_models, key.expires_at) == ("My first key", [], None)
        assert "chat" in key.scopes

    def test_scopes_models_and_expiry_are_as_chosen(
        self, browse: Browse, owner: User, organization: Organization, model: Model
    ) -> None:
        chosen = form(models_allowed="chosen", models=[model.public_id], expiry="30", scopes=["embeddings"])
        browse(owner).post(f"/o/{organization.public_id}/keys/new/", chosen)
        key = ApiKey.objects.get()
        assert (key.scopes, key.allowed_models) == (["embeddings"], [model.public_id])
        assert key.expires_at == key.created_at + timedelta(days=30)

    def test_a_key_lasts_to_the_end_of_the_chosen_day(
        self, browse: Browse, owner: User, organization: Organization
    ) -> None:
        day = datetime.now(UTC).date() + timedelta(days=5)
        browse(owner).post(f"/o/{organization.public_id}/keys/new/", form(expiry="date", expiry_date=day.isoformat()))
        expires = ApiKey.objects.get().expires_at
        assert expires == datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)

    @pytest.mark.parametrize(
        ("wrong", "complaint"),
        [
            ({"name": ""}, "This field is required"),
            ({"scopes": []}, "This field is required"),
            ({"scopes": ["root"]}, "root is not one of the available choices"),
            ({"models_allowed": "chosen"}, "Choose at least one model"),
            ({"models_allowed": "chosen", "models": ["gone"]}, "gone is not one of the available choices"),
            ({"expiry": "date"}, "Choose the last day"),
            ({"expiry": "date", "expiry_date": "2020-01-01"}, "This day is over"),
            ({"expiry": "date", "expiry_date": "9999-12-31"}, "Choose a day up to the year 2200"),
        ],
    )
    def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
        self, browse: Browse, owner: User, organization: Organization, wrong: dict[str, Any], complaint: str
    ) -> None:
        answer = browse(owner).post(f"/o/{organization.public_id}/keys/new/", form(**{"name": "kept", **wrong}))
        page = answer.content.decode()
        assert complaint in page
        assert wrong.get("name", "kept") in page
        assert not ApiKey.objects.exists()

    @pytest.mark.parametrize("page", ["keys/new/", "welcome/"])
    def test_a_viewer_cannot(self, browse: Browse, viewer: User, organization: Organization, page: str) -> None:
        address = f"/o/{organization.public_id}/{page}"
        browser = browse(viewer)
        assert browser.get(address).status_code == 403
        assert browser.post(address, form()).status_code == 403
        assert not ApiKey.objects.exists()
        assert "New key" not in browser.get(f"/o/{organization.public_id}/keys/").content.decode()


class TestRotating:
    def test_the_new_secret_is_shown_once_and_the_old_one_ends_when_chosen(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey
    ) -> None:
        browser, page = browse(owner), f"/o/{organization.public_id}/keys/{key.public_id}/rotate/"
        old = key.secrets.get()
        answer = browser.post(page, {"replacing": old.public_id, "overlap": "1"})
        secret = secret_in(answer.content)
        assert "no-store" in answer["Cache-Control"]
        old.refresh_from_db()
        assert old.lapses_at
        assert timedelta(minutes=59) < old.lapses_at - datetime.now(UTC) <= timedelta(hours=1)
        shown = browser.get(f"/o/{organization.public_id}/keys/{key.public_id}/").content.decode()
        assert secret not in shown
        assert secret[-4:] in shown
        assert old.last4 in shown

    def test_sending_the_form_again_makes_no_other_secret(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey
    ) -> None:
        browser, page = browse(owner), f"/o/{organization.public_id}/keys/{key.public_id}/rotate/"
        sent = {"replacing": key.secrets.get().public_id, "overlap": "24"}
        assert [browser.post(page, sent).status_code for _ in range(2)] == [200, 302]
        assert key.secrets.count() == 2

    def test_a_viewer_cannot(self, browse: Browse, viewer: User, organization: Organization, key: ApiKey) -> None:
        page = f"/o/{organization.public_id}/keys/{key.public_id}/rotate/"
        assert browse(viewer).post(page, {"replacing": key.secrets.get().public_id, "overlap": "0"}).status_code == 403
        assert key.secrets.count() == 1


@pytest.mark.django_db(transaction=True)
class TestRevoking:
    def test_the_name_has_to_be_typed(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, empty_valkey: Any
    ) -> None:
        browser, address = browse(owner), f"/o/{organization.public_id}/keys/{key.public_id}/revoke/"
        assert "That isn" in browser.post(address, {"name": "prod"}).content.decode()
        key.refresh_from_db()
        assert key.revoked_at is None
        assert browser.post(address, {"name": "production"}).status_code == 302
        key.refresh_from_db()
        assert key.revoked_by == owner

    def test_a_viewer_cannot(self, browse: Browse, viewer: User, organization: Organization, key: ApiKey) -> None:
        address = f"/o/{organization.public_id}/keys/{key.public_id}/revoke/"
        assert browse(viewer).post(address, {"name": "production"}).status_code == 403
        key.refresh_from_db()
        assert key.revoked_at is None

    def test_gateways_that_could_not_be_told_are_said(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, no_valkey: None
    ) -> None:
        address = f"/o/{organization.public_id}/keys/{key.public_id}/revoke/"
        answer = browse(owner).post(address, {"name": "production"}, follow=True)
        assert "Revoked here, but the gateways don't have it yet" in re.sub(r"<[^>]+>", "", answer.content.decode())
        key.refresh_from_db()
        assert key.revoked_at is not None

    def test_the_page_shows_since_when_every_gateway_refuses(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, empty_valkey: Any
    ) -> None:
        address = f"/o/{organization.public_id}/keys/{key.public_id}/revoke/"
        page = browse(owner).post(address, {"name": "production"}, follow=True).content.decode()
        key.refresh_from_db()
        assert key.published_at
        told = f"{key.published_at:%Y-%m-%d %H:%M:%S}.{key.published_at.microsecond // 1000:03} UTC"
        assert re.search(rf"Refused everywhere</strong>\s+since <time [^>]+>{told}</time>", page)

    def test_the_page_says_that_the_gateways_have_it_not_yet_and_asks_until_they_do(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, empty_valkey: Any
    ) -> None:
        ApiKey.objects.filter(pk=key.pk).update(revoked_at=datetime.now(UTC), version=2)
        browser, page = browse(owner), key.get_absolute_url()
        asked = f'hx-get="{page}in-force/"'
        assert asked in browser.get(page).content.decode()
        part = browser.get(f"{page}in-force/", headers={"HX-Request": "true"}).content.decode()
        assert "the gateways don't have it yet" in part
        assert asked in part
        key.refresh_from_db()
        outbox.add([key.record()], now=datetime.now(UTC))
        part = browser.get(f"{page}in-force/", headers={"HX-Request": "true"}).content.decode()
        assert "Refused everywhere" in part
        assert "hx-get" not in part
        assert browser.get(f"{page}in-force/")["Location"] == page


class TestFirstRequest:
    def test_waiting_says_nothing_until_the_request_is_in_the_books(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model
    ) -> None:
        browser = browse(owner)
        address = f"/o/{organization.public_id}/keys/{key.public_id}/first-request/"
        assert browser.get(address, headers={"HX-Request": "true"}).status_code == 204
        use(key, model)
        answer = browser.get(address, headers={"HX-Request": "true"})
        assert answer.status_code == 286
        assert "It worked, and cost" in answer.content.decode()
        assert str(UsageEvent.objects.get().id) in answer.content.decode()

    def test_without_scripts_the_link_leads_to_the_key(
        self, browse: Browse, owner: User, organization: Organization, key: ApiKey
    ) -> None:
        address = f"/o/{organization.public_id}/keys/{key.public_id}/first-request/"
        assert browse(owner).get(address)["Location"] == key.get_absolute_url()


def test_the_list_costs_the_same_queries_however_many_keys(
    browse: Browse, owner: User, organization: Organization, django_assert_max_num_queries: Any
) -> None:
    for place in range(30):
        make_key(organization, name=f"key {place}")
    browser = browse(owner)
    with django_assert_max_num_queries(9):
        browser.get(f"/o/{organization.public_id}/keys/")


def test_a_developer_may_create(browse: Browse, viewer: User, organization: Organization) -> None:
    Membership.objects.filter(user=viewer).update(role=Role.DEVELOPER)
    browse(viewer).post(f"/o/{organization.public_id}/keys/new/", form())
    assert ApiKey.objects.get().created_by == viewer
