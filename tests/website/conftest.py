"""The cast of these tests: an owner and a viewer of one organization, an outsider with another, staff."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core.cache import cache
from django.test import Client

from accounts.models import ApiKey, Membership, Organization, Role, User
from catalog.models import Model
from hotstate import client as hotstate_client
from hotstate.errors import Unreachable
from tests.cast import make_key, make_model, make_organization
from tests.paying import shop, stripe_server
from tests.website.browsing import passed_second_factor, person, signed_in

__all__ = ["shop", "stripe_server"]


@pytest.fixture(autouse=True)
def _own_archive_and_limits(settings: Any, tmp_path: Path) -> Iterator[None]:
    """Segments in a folder of the test; limits on attempts that no other test has used up."""
    storages = {**settings.STORAGES}
    storages["archive"] = {**storages["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = storages
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def _the_catalogue_is_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a test's transaction nothing is announced."""

    def unreachable() -> str:
        raise Unreachable

    monkeypatch.setattr("website.catalogue.catalogue_version", unreachable)


@pytest.fixture
def owner(db: None) -> User:
    return person("owner@example.com")


@pytest.fixture
def organization(owner: User) -> Organization:
    return make_organization("Acme", owner=owner)


@pytest.fixture
def viewer(organization: Organization) -> User:
    user = person("viewer@example.com")
    now = datetime.now(UTC)
    Membership.objects.create(user=user, organization=organization, role=Role.VIEWER, created_at=now)
    return user


@pytest.fixture
def outsider(db: None) -> User:
    user = person("outsider@example.com")
    make_organization("Elsewhere", owner=user)
    return user


@pytest.fixture
def staff(db: None) -> User:
    return person("staff@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def model(db: None) -> Model:
    return make_model("demo/chat:small")


@pytest.fixture
def key(organization: Organization) -> ApiKey:
    return make_key(organization, name="production")[0]


@pytest.fixture
def browse() -> Callable[[User], Client]:
    """A browser in which somebody is signed in by password."""
    return signed_in


@pytest.fixture
def staff_browser(staff: User) -> Client:
    """A browser whose session passed the second factor."""
    TOTP.activate(staff, generate_totp_secret())
    browser = signed_in(staff)
    passed_second_factor(browser, staff)
    return browser


@pytest.fixture
def no_valkey(settings: Any) -> Iterator[None]:
    """A port at which nobody answers."""
    hotstate_client.valkey.cache_clear()
    settings.VALKEY_URL = "redis://127.0.0.1:1/8"
    yield
    hotstate_client.valkey.cache_clear()
