"""Every address, asked for by somebody else and by nobody. A new one has to be declared here, or fails."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import ApiKey, Organization, User
from catalog.models import Model
from tests.cast import make_plan, make_top_up
from tests.website.browsing import passed_second_factor, use

# For everybody. `start` and the pages of entering lead on by themselves.
PUBLIC = {
    "",
    "docs/",
    "openapi.json",
    "docs/charging/",
    "account/login/",
    "account/logout/",
    "account/signup/",
    "account/inactive/",
} | {
    "models/",
    "models/<path:model>",
    "models.json",
    "models.json/<path:model>",
    # A mail's link says whose it is, signed.
    "notices/stop/<str:token>/",
    "account/confirm-email/",
    "account/confirm-email/(?P<key>[-:\\w]+)/$",
    "account/password/reset/",
    "account/password/reset/done/",
    "account/password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
    "account/password/reset/key/done/",
    "account/login/code/confirm/",
    "account/2fa/authenticate/",
}
# One's own account: nothing in the address says whose.
OWN = {
    "start/",
    "account/reauthenticate/",
    "account/email/",
    "account/password/change/",
    "account/password/set/",
    "account/2fa/",
    "account/2fa/reauthenticate/",
    "account/2fa/totp/activate/",
    "account/2fa/totp/deactivate/",
    "account/2fa/recovery-codes/",
    "account/2fa/recovery-codes/generate/",
    "account/2fa/recovery-codes/download/",
    "account/sessions/",
}
# Machines show a credential of their own; a browser's session is worth nothing there.
MACHINES = ("api/v1/", "metrics", "stripe/webhook")
OF_AN_ORGANIZATION = "o/<str:org>/"
OF_STAFF = ("staff/", "admin/")


def addresses(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern):
            yield route


EVERY = sorted(set(addresses(get_resolver().url_patterns)))
ORGANIZATIONS = [route for route in EVERY if route.startswith(OF_AN_ORGANIZATION)]
STAFF = [route for route in EVERY if route.startswith(OF_STAFF)]


@pytest.fixture
def filled(organization: Organization, key: ApiKey, model: Model) -> dict[str, str]:
    """What the parts of an address in angle brackets stand for: things that exist."""
    event = use(key, model)[0]
    top_up = make_top_up(organization)
    return {
        "<str:org>": organization.public_id,
        "<str:key>": key.public_id,
        "<str:secret>": key.secrets.get().public_id,
        "<uuid:request_id>": str(event.id),
        "<int:model>": str(model.pk),
        "<int:number>": "1",
        "<str:top_up>": top_up.public_id,
        "<str:card>": "card_1",
        "<str:night>": "2026-03-10",
        "<str:step>": "prove",
        "<int:alarm>": "1",
        "<int:gateway>": "1",
        "<int:run>": "1",
        "<int:order>": "1",
        "<int:gap>": "1",
        "<int:promotion>": "1",
        "<int:difference>": "1",
        "<int:hold>": "1",
        "<int:line>": "1",
        "<int:segment>": "1",
        "<int:draft>": "1",
        "<int:route>": str(model.routes.get().pk),
        "<str:reason>": "torn",
        "<str:identity>": "segment",
        "<path:object_id>": "1",
        "<path:content_type_id>": "1",
        "<path:url>": "x",
        "<slug:slug>": make_plan().plan.slug,
    }


def address(route: str, filled: dict[str, str]) -> str:
    for part, value in filled.items():
        route = route.replace(part, value)
    if "(?P<" in route:
        route = route.replace("(?P<app_label>auth|accounts|catalog|billing)/$", "accounts/")
        route = route.split("(?P<")[0] + ("accounts/" if "app_label" in route else "x")
    assert "<" not in route, f"say in `filled` what stands for the part in {route}"
    return "/" + route.removesuffix("$").replace(".*", "x")


def test_every_address_is_declared() -> None:
    private = (OF_AN_ORGANIZATION, *OF_STAFF, *MACHINES)
    undeclared = {route for route in EVERY if not route.startswith(private)} - PUBLIC - OWN
    assert undeclared == set(), f"say in {__name__} who may see these"
    assert {route for route in EVERY if "org>" in route and not route.startswith(private)} == set()


@pytest.mark.parametrize("route", ORGANIZATIONS)
class TestEveryPageOfAnOrganization:
    def test_is_not_there_for_an_outsider(
        self, browse: Callable[[User], Client], outsider: User, filled: dict[str, str], route: str
    ) -> None:
        browser = browse(outsider)
        assert browser.get(address(route, filled)).status_code == 404
        # Where a page only reads, another method is refused before anything is looked up.
        assert browser.post(address(route, filled)).status_code in (404, 405)

    def test_leads_a_stranger_to_the_sign_in_page(self, client: Client, filled: dict[str, str], route: str) -> None:
        assert_sign_in_page(client.get(address(route, filled)))
        answer = client.post(address(route, filled))
        if answer.status_code != 405:
            assert_sign_in_page(answer)


class TestEveryPageOfStaff:
    """One test for all: there are hundreds in the back office, and none is reached at all."""

    def test_is_not_there_for_an_outsider(
        self, browse: Callable[[User], Client], outsider: User, filled: dict[str, str]
    ) -> None:
        browser = browse(outsider)
        passed_second_factor(browser, outsider)
        for method in (browser.get, browser.post):
            assert {route for route in STAFF if method(address(route, filled)).status_code != 404} == set()

    def test_leads_a_stranger_to_the_sign_in_page(self, client: Client, filled: dict[str, str]) -> None:
        for route in STAFF:
            assert_sign_in_page(client.get(address(route, filled)))
            assert_sign_in_page(client.post(address(route, filled)))


def assert_sign_in_page(answer: Any) -> None:
    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/login/?next=/")


@pytest.mark.django_db
@pytest.mark.parametrize("route", sorted(OWN))
def test_ones_own_account_wants_a_sign_in(client: Client, route: str) -> None:
    answer = client.get(f"/{route}")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/login/")


@pytest.mark.django_db
@pytest.mark.parametrize("route", [route for route in EVERY if route.startswith(MACHINES)])
def test_a_session_opens_nothing_for_machines(
    browse: Callable[[User], Client], outsider: User, filled: dict[str, str], route: str
) -> None:
    browser = browse(outsider)
    for method in (browser.get, browser.post):
        # 400 is what an unsigned webhook gets.
        assert method(address(route, filled)).status_code in (400, 401, 403, 404, 405)


class TestThingsOfAnotherOrganization:
    def test_a_key_is_not_there_under_ones_own_organization(
        self, browse: Callable[[User], Client], outsider: User, key: ApiKey, model: Model
    ) -> None:
        event = use(key, model)[0]
        theirs = make_top_up(key.organization).public_id
        mine = Organization.objects.of(outsider).get().public_id
        browser = browse(outsider)
        for page in (
            f"keys/{key.public_id}/",
            f"keys/{key.public_id}/revoke/",
            f"keys/{key.public_id}/first-request/",
            f"requests/{event.id}/",
            f"billing/top-ups/{theirs}/",
            f"billing/top-ups/{theirs}/receipt/",
            f"usage/?key={key.public_id}",
            f"usage/requests.csv?key={key.public_id}",
        ):
            assert browser.get(f"/o/{mine}/{page}").status_code == 404, page
        assert key.public_id not in browser.get(f"/o/{mine}/usage/requests.csv").getvalue().decode()  # type: ignore[attr-defined]
