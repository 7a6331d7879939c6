"""Staff pages and the back office: staff only, and only with a second factor."""

from collections.abc import Callable

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.test import Client

from accounts.models import User
from tests.website.browsing import passed_second_factor

GUARDED = ["/staff/", "/staff/prices/", "/admin/", "/admin/login/", "/admin/accounts/user/", "/staff/nothing/"]
Browse = Callable[[User], Client]


@pytest.mark.django_db
@pytest.mark.parametrize("address", GUARDED)
class TestEveryGuardedPage:
    def test_leads_strangers_to_the_sign_in_page(self, client: Client, address: str) -> None:
        assert client.get(address)["Location"].startswith("/account/login/?next=/")

    def test_is_not_there_for_others(self, browse: Browse, outsider: User, address: str) -> None:
        passed = browse(outsider)
        passed_second_factor(passed, outsider)
        assert passed.get(address).status_code == 404
        assert passed.post(address).status_code == 404

    def test_leads_staff_without_an_app_to_setting_one_up(self, browse: Browse, staff: User, address: str) -> None:
        assert browse(staff).get(address)["Location"] == "/account/2fa/totp/activate/"

    def test_asks_for_the_code_where_the_session_has_not_given_it(
        self, browse: Browse, staff: User, address: str
    ) -> None:
        TOTP.activate(staff, generate_totp_secret())
        assert browse(staff).get(address)["Location"].startswith("/account/2fa/reauthenticate/?next=/")


@pytest.mark.django_db
class TestPassing:
    def test_the_code_opens_the_page_that_was_asked_for(self, browse: Browse, staff: User) -> None:
        secret = generate_totp_secret()
        TOTP.activate(staff, secret)
        browser = browse(staff)
        asked = browser.get("/staff/prices/")["Location"]
        assert browser.post(asked, {"code": "000000"}).status_code == 200
        answer = browser.post(asked, {"code": code(secret)})
        assert answer["Location"] == "/staff/prices/"
        assert browser.get("/staff/prices/").status_code == 200
        assert browser.get("/admin/login/")["Location"] == "/admin/"

    def test_signing_in_with_password_and_code_opens_everything(self, client: Client, staff: User) -> None:
        secret = generate_totp_secret()
        TOTP.activate(staff, secret)
        first = client.post("/account/login/?next=/staff/", {"login": staff.email, "password": "correct horse battery"})
        assert first["Location"].startswith("/account/2fa/authenticate/")
        assert client.get("/staff/")["Location"].startswith("/account/login/"), "half signed in is not signed in"
        second = client.post(first["Location"], {"code": code(secret)})
        assert second["Location"] == "/staff/"
        assert client.get("/staff/").status_code == 200

    @pytest.mark.django_db(transaction=True)
    def test_setting_the_app_up_passes_the_session_that_did(self, client: Client, staff: User) -> None:
        client.post("/account/login/", {"login": staff.email, "password": "correct horse battery"})
        asked = client.get("/staff/", follow=True).redirect_chain[-1][0]
        assert asked == "/account/reauthenticate/?next=%2Faccount%2F2fa%2Ftotp%2Factivate%2F"
        page = client.post(asked, {"password": "correct horse battery"}, follow=True).content.decode()
        assert "Staff pages open only to who has set one up" in page
        secret = client.session["mfa.totp.secret"]
        client.post("/account/2fa/totp/activate/", {"code": code(secret)})
        assert client.get("/staff/").status_code == 200

    def test_another_users_code_in_the_session_counts_for_nothing(
        self, browse: Browse, staff: User, outsider: User
    ) -> None:
        TOTP.activate(staff, generate_totp_secret())
        browser = browse(staff)
        passed_second_factor(browser, outsider)
        assert browser.get("/staff/").status_code == 302

    def test_who_turned_the_app_off_is_outside_again(self, staff_browser: Client, staff: User) -> None:
        assert staff_browser.get("/staff/").status_code == 200
        Authenticator.objects.filter(user=staff).delete()
        assert staff_browser.get("/staff/")["Location"] == "/account/2fa/totp/activate/"

    def test_who_is_no_longer_staff_is_outside(self, staff_browser: Client, staff: User) -> None:
        staff.is_staff = False
        staff.save()
        assert staff_browser.get("/staff/").status_code == 404


def code(secret: str) -> str:
    counter = next(iter(yield_hotp_counters_from_time()))
    return format_hotp_value(hotp_value(secret, counter))
