"""Rotation's end: who still uses the old secret, and ending it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.keys import rotate_key
from accounts.models import ApiKey, ApiKeySecret, AuditEntry, User
from catalog.models import Model
from tests.website.browsing import use
from website.rotation import share

Browse = Callable[[User], Client]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def old(key: ApiKey, empty_valkey: Any) -> ApiKeySecret:
    """The secret that was replaced a moment ago, and works for another hour."""
    replaced = key.secrets.get()
    now = datetime.now(UTC)
    rotate_key(key, replacing=replaced.public_id, overlap=timedelta(hours=1), actor=None, now=now)
    replaced.refresh_from_db()
    return replaced


def text(page: str) -> str:
    import re

    return " ".join(re.sub(r"<[^>]+>", "", page).split())


def test_the_share_that_still_has_the_old_secret_is_shown(
    browse: Browse, owner: User, key: ApiKey, model: Model, old: ApiKeySecret
) -> None:
    use(key, model, 3, secret=old.public_id)
    use(key, model, 22, secret=key.secrets.get(lapses_at=None).public_id)
    page = text(browse(owner).get(key.get_absolute_url()).content.decode())
    assert f"12% of the last 24 h (3 requests) still use {old.hint}, last used" in page
    assert "22 (88%)" in page


def test_an_old_secret_that_nothing_uses_is_said(browse: Browse, owner: User, key: ApiKey, old: ApiKeySecret) -> None:
    page = text(browse(owner).get(key.get_absolute_url()).content.decode())
    assert f"Nothing was seen to use {old.hint}" in page


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 0, "0%"), (0, 9, "0%"), (1, 101, "under 1%"), (1, 100, "1%"), (999, 1000, "99%"), (7, 7, "100%")],
)
def test_a_share_is_never_nothing_of_something(part: int, whole: int, shown: str) -> None:
    assert share(part, whole) == shown


class TestEnding:
    def test_it_is_asked_first_and_then_done_and_audited(
        self, browse: Browse, owner: User, key: ApiKey, model: Model, old: ApiKeySecret
    ) -> None:
        use(key, model, 2, secret=old.public_id)
        browser, address = browse(owner), f"{key.get_absolute_url()}secrets/{old.public_id}/end/"
        assert "It is in use: 100% of the last 24 h (2 requests)" in text(browser.get(address).content.decode())
        answer = browser.post(address, follow=True)
        assert "has ended" in answer.content.decode()
        assert "Let it lapse now" not in answer.content.decode()
        old.refresh_from_db()
        assert old.lapses_at
        assert old.lapses_at < datetime.now(UTC)
        assert AuditEntry.objects.get(action="key.end_overlap").actor == owner
        assert "already" in browser.get(address).content.decode()
        browser.post(address)
        assert AuditEntry.objects.filter(action="key.end_overlap").count() == 1

    def test_the_current_secret_is_not_ended(self, browse: Browse, owner: User, key: ApiKey, old: ApiKeySecret) -> None:
        current = key.secrets.get(lapses_at=None)
        browser, address = browse(owner), f"{key.get_absolute_url()}secrets/{current.public_id}/end/"
        assert "current secret" in browser.get(address).content.decode()
        browser.post(address)
        current.refresh_from_db()
        assert current.lapses_at is None

    def test_a_viewer_cannot_and_another_key_s_secret_is_not_there(
        self, browse: Browse, owner: User, viewer: User, key: ApiKey, old: ApiKeySecret
    ) -> None:
        address = f"{key.get_absolute_url()}secrets/{old.public_id}/end/"
        assert browse(viewer).post(address).status_code == 403
        assert "Let it lapse now" not in browse(viewer).get(key.get_absolute_url()).content.decode()
        assert browse(owner).post(f"{key.get_absolute_url()}secrets/sec_other/end/").status_code == 404
        old.refresh_from_db()
        assert old.lapses_at
        assert old.lapses_at > datetime.now(UTC)


def test_the_list_shows_when_a_key_was_last_used(browse: Browse, owner: User, key: ApiKey, model: Model) -> None:
    browser, page = browse(owner), f"/o/{key.organization.public_id}/keys/"
    assert "never" in text(browser.get(page).content.decode())
    use(key, model)
    assert 'data-label="used"><time' in browser.get(page).content.decode()
