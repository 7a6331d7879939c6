"""What staff change about their own signing in is in the audit trail; what customers change isn't."""

import re
from collections.abc import Callable

import pytest
from django.core import mail
from django.test import Client

from accounts.models import AuditEntry, User
from tests.website.test_staff_second_factor import code

pytestmark = pytest.mark.django_db
PASSWORD, OTHER = "correct horse battery", "another long passphrase"
Browse = Callable[[User], Client]


def told(user: User) -> list[str]:
    entries = AuditEntry.objects.filter(actor=user, staff=True, target=f"user:{user}").order_by("id")
    return list(entries.values_list("action", flat=True))


def change_password(browser: Client) -> None:
    browser.post("/account/password/change/", {"oldpassword": PASSWORD, "password1": OTHER, "password2": OTHER})


def test_the_back_office_leads_to_the_page_that_leaves_an_entry(staff_browser: Client, staff: User) -> None:
    sent = {"old_password": PASSWORD, "new_password1": OTHER, "new_password2": OTHER}
    assert staff_browser.post("/admin/password_change/", sent)["Location"] == "/account/password/change/"
    staff.refresh_from_db()
    assert staff.check_password(PASSWORD)


def test_a_changed_password(staff_browser: Client, staff: User) -> None:
    change_password(staff_browser)
    assert told(staff) == ["user.password_change"]
    assert OTHER not in str(list(AuditEntry.objects.values()))


def test_a_reset_password(client: Client, staff: User) -> None:
    client.post("/account/password/reset/", {"email": staff.email})
    found = re.search(r"http://[^/]+(/account/password/reset/key/\S+)", str(mail.outbox[-1].body))
    assert found
    form = client.get(found[1])["Location"]
    client.post(form, {"password1": OTHER, "password2": OTHER})
    staff.refresh_from_db()
    assert staff.check_password(OTHER)
    assert told(staff) == ["user.password_reset"]


@pytest.mark.django_db(transaction=True)
def test_a_second_factor_set_up_renewed_and_turned_off(client: Client, staff: User) -> None:
    client.post("/account/login/", {"login": staff.email, "password": PASSWORD})
    client.post("/account/reauthenticate/", {"password": PASSWORD})
    client.get("/account/2fa/totp/activate/")
    client.post("/account/2fa/totp/activate/", {"code": code(client.session["mfa.totp.secret"])})
    client.post("/account/2fa/recovery-codes/generate/")
    client.post("/account/2fa/totp/deactivate/")
    entries = AuditEntry.objects.filter(actor=staff).order_by("id").values_list("action", "after__type")
    assert ("user.second_factor_add", "totp") in entries
    assert ("user.second_factor_reset", "recovery_codes") in entries
    assert ("user.second_factor_remove", "totp") in entries


def test_a_customers_password_is_nobodys_business(browse: Browse, outsider: User) -> None:
    change_password(browse(outsider))
    outsider.refresh_from_db()
    assert outsider.check_password(OTHER)
    assert not AuditEntry.objects.filter(action__startswith="user.").exists()
