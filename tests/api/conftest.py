"""Programs that manage keys: each has a key of its own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.cache import cache

from accounts.models import ApiKey, Organization
from accounts.scopes import MANAGEMENT_SCOPES
from hotstate import client as hotstate_client
from tests.api.program import Program
from tests.cast import make_key, make_organization

EVERYTHING = ["chat", "embeddings", "models", *MANAGEMENT_SCOPES]


@pytest.fixture(autouse=True)
def _limits_of_its_own(settings: Any) -> Iterator[None]:
    """Nothing is used up by another test."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    yield
    cache.clear()


@pytest.fixture
def organization(db: None, empty_valkey: object) -> Organization:
    return make_organization("Acme")


@pytest.fixture
def acting(organization: Organization) -> tuple[ApiKey, Program]:
    """A key that may do everything, and the program that has it."""
    key, secret = make_key(organization, name="manager", scopes=EVERYTHING, now=datetime(2026, 11, 1, tzinfo=UTC))
    return key, Program(secret)


@pytest.fixture
def program(acting: tuple[ApiKey, Program]) -> Program:
    return acting[1]


@pytest.fixture
def outsider(db: None, empty_valkey: object) -> Program:
    """May do everything, in another organization."""
    return Program(make_key(make_organization("Elsewhere"), scopes=EVERYTHING)[1])


@pytest.fixture
def no_valkey(settings: Any) -> Iterator[None]:
    """A port at which nobody answers."""
    hotstate_client.valkey.cache_clear()
    settings.VALKEY_URL = "redis://127.0.0.1:1/8"
    yield
    hotstate_client.valkey.cache_clear()
