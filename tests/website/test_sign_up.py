"""From an address to an organization with its starting balance, granted once."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from accounts.models import Membership, Organization, Role, User
from billing.models import Balance, BalanceThreshold, CreditGrant
from billing.notices import balances
from tests.cast import make_organization, make_user
from website.signup import open_account

PASSWORD = "a long enough passphrase"
pytestmark = pytest.mark.django_db


def sign_up(browser: Client, email: str = "new@example.com") -> str:
    """Fill the form in; return the address of the link in the mail."""
    answer = browser.post("/account/signup/", {"email": email, "password1": PASSWORD})
    assert answer.status_code == 302
    assert answer["Location"] == "/account/confirm-email/"
    found = re.search(r"http://[^/]+(/account/confirm-email/\S+)", str(mail.outbox[-1].body))
    assert found
    return found[1]


def test_the_story_from_the_form_to_the_first_key(client: Client, settings: Any) -> None:
    link = sign_up(client)
    assert client.get(link).status_code == 200
    assert not Organization.objects.exists()

    confirmed = client.post(link)
    assert (confirmed.status_code, confirmed["Location"]) == (302, "/start/")
    organization = Organization.objects.get()
    membership = Membership.objects.get()
    assert (membership.organization, membership.role) == (organization, Role.OWNER)
    assert Balance.objects.get().nanos == settings.SIGNUP_CREDIT_NANOS

    started = client.get("/start/")
    assert started["Location"] == f"/o/{organization.public_id}/welcome/"
    page = client.get(started["Location"])
    assert "My first key" in page.content.decode()


def test_nothing_is_made_before_the_address_is_confirmed(client: Client) -> None:
    sign_up(client)
    user = User.objects.get()
    assert open_account(user, now=datetime.now(UTC)) is None
    assert not Organization.objects.exists()
    assert not CreditGrant.objects.exists()


def test_the_starting_balance_is_granted_once_however_often_it_is_asked_for(client: Client, settings: Any) -> None:
    client.post(sign_up(client))
    user = User.objects.get()
    for _ in range(3):
        client.get("/start/")
        open_account(user, now=datetime.now(UTC))
    assert Organization.objects.count() == 1
    assert CreditGrant.objects.count() == 1
    assert Balance.objects.get().nanos == settings.SIGNUP_CREDIT_NANOS


def test_without_a_starting_balance_there_is_an_organization_and_no_grant(client: Client, settings: Any) -> None:
    settings.SIGNUP_CREDIT_NANOS = 0
    client.post(sign_up(client))
    assert Organization.objects.exists()
    assert not CreditGrant.objects.exists()
    assert client.get("/").status_code == 200


def test_a_new_organization_is_told_of_a_low_balance_until_it_chooses_otherwise(client: Client) -> None:
    client.post(sign_up(client))
    organization = Organization.objects.get()
    threshold = BalanceThreshold.objects.get()
    assert (threshold.organization, threshold.nanos, threshold.armed) == (organization, 10**9, True)
    balances.set_thresholds(organization, [], actor=None, now=datetime.now(UTC))
    client.get("/start/")
    assert open_account(User.objects.get(), now=datetime.now(UTC)) == organization
    assert not BalanceThreshold.objects.exists()


def test_a_vendor_may_begin_without_such_an_amount(client: Client, settings: Any) -> None:
    settings.LOW_BALANCE_NOTICE_NANOS = 0
    client.post(sign_up(client))
    assert Organization.objects.exists()
    assert not BalanceThreshold.objects.exists()


def test_a_lost_step_is_made_up_for_at_the_start(client: Client) -> None:
    user = make_user("lost@example.com")
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    client.get("/start/")
    assert Organization.objects.get().signup_user == user
    assert CreditGrant.objects.count() == 1


def test_who_was_invited_gets_no_organization_of_their_own(client: Client) -> None:
    organization = make_organization()
    user = make_user("invited@example.com")
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    Membership.objects.create(user=user, organization=organization, role=Role.DEVELOPER, created_at=datetime.now(UTC))
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    client.get("/start/")
    assert Organization.objects.count() == 1


def test_an_address_in_use_is_not_told_to_strangers(client: Client) -> None:
    make_user("new@example.com")
    EmailAddress.objects.create(user=User.objects.get(), email="new@example.com", verified=True, primary=True)
    answer = client.post("/account/signup/", {"email": "new@example.com", "password1": PASSWORD})
    assert answer["Location"] == "/account/confirm-email/"
    assert User.objects.count() == 1
    assert "already" in mail.outbox[-1].body


def test_mails_are_plain_and_name_the_product(client: Client, settings: Any) -> None:
    sign_up(client)
    message = mail.outbox[-1]
    assert message.subject == f"[{settings.PRODUCT_NAME}] Confirm your address"
    assert str(message.body).rstrip().endswith(settings.PRODUCT_NAME)
    assert "example.com!" not in message.body


def test_an_address_in_use_costs_the_same_hashing(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.contrib.auth.hashers import MD5PasswordHasher

    hashed: list[str] = []
    encode = MD5PasswordHasher.encode

    def counting(self: MD5PasswordHasher, password: str, salt: str) -> str:
        hashed.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counting)
    counts = []
    for _ in range(2):
        hashed.clear()
        client.post("/account/signup/", {"email": "new@example.com", "password1": PASSWORD})
        counts.append(len(hashed))
    assert User.objects.count() == 1
    assert counts == [1, 1]
