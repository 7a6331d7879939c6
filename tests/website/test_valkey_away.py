"""The console works without Valkey: limits on attempts let pass, nothing waits long, and `/readyz` says so."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from config.cache import ForgivingClient
from hotstate import client as hotstate_client
from tests.website.test_staff_second_factor import code

PASSWORD = "correct horse battery"


@pytest.fixture(params=["nobody listens", "never answers"])
def silent_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "never answers":
            server.listen()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def away(silent_url: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ForgivingClient, "away_until", 0.0)
    monkeypatch.setattr("config.cache.PAUSE_SECONDS", 3600)
    settings.CACHES = {"default": {"BACKEND": "config.cache.ForgivingCache", "LOCATION": silent_url}}


@pytest.mark.django_db
@pytest.mark.usefixtures("away")
class TestPages:
    def test_signing_in_works_and_waits_once(self, client: Client, owner: User) -> None:
        with structlog.testing.capture_logs() as logs:
            answer = client.post("/account/login/", {"login": owner.email, "password": PASSWORD})
        assert answer["Location"] == "/start/"
        assert sum(line["event"].startswith("cache unreachable") for line in logs) == 1

    def test_a_second_factor_works(self, client: Client, staff: User) -> None:
        secret = generate_totp_secret()
        TOTP.activate(staff, secret)
        first = client.post("/account/login/", {"login": staff.email, "password": PASSWORD})
        assert client.post(first["Location"], {"code": code(secret)})["Location"] == "/start/"

    def test_signing_up_works(self, client: Client) -> None:
        answer = client.post("/account/signup/", {"email": "new@example.com", "password1": PASSWORD})
        assert answer["Location"] == "/account/confirm-email/"

    def test_asking_for_a_new_password_works(self, client: Client, owner: User) -> None:
        answer = client.post("/account/password/reset/", {"email": owner.email})
        assert answer["Location"] == "/account/password/reset/done/"


@pytest.mark.usefixtures("away")
class TestTheCache:
    def test_every_question_is_a_miss(self) -> None:
        assert cache.get("a", "default") == "default"
        assert cache.get_many(["a"]) == {}
        assert cache.has_key("a") is False
        assert cache.touch("a") is False
        with pytest.raises(ValueError, match="not found"):
            cache.incr("a")

    def test_what_is_written_is_dropped(self) -> None:
        cache.set("a", 1)
        cache.set_many({"a": 1})
        cache.delete_many(["a"])
        cache.clear()
        assert cache.add("a", 1) is True
        assert cache.delete("a") is False

    def test_a_failure_is_logged_once_and_not_waited_for_again(self) -> None:
        with structlog.testing.capture_logs() as logs:
            for _ in range(20):
                cache.get("a")
        assert [line["log_level"] for line in logs] == ["warning"]


def test_it_is_asked_again_after_a_while(
    settings: Any, monkeypatch: pytest.MonkeyPatch, silent_url: str, empty_valkey: Any
) -> None:
    monkeypatch.setattr(ForgivingClient, "away_until", 0.0)
    settings.CACHES = {"default": {"BACKEND": "config.cache.ForgivingCache", "LOCATION": silent_url}}
    cache.set("a", 1)
    settings.CACHES = {"default": {"BACKEND": "config.cache.ForgivingCache", "LOCATION": settings.VALKEY_URL}}
    assert cache.get("a") is None
    monkeypatch.setattr(ForgivingClient, "away_until", time.monotonic())
    cache.set("a", 1)
    assert cache.get("a") == 1


@pytest.mark.django_db
def test_readyz_notices(client: Client, settings: Any, silent_url: str) -> None:
    hotstate_client.valkey.cache_clear()
    try:
        assert client.get("/readyz").status_code == 200
        hotstate_client.valkey.cache_clear()
        settings.VALKEY_URL = silent_url
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["failing"]) == (503, {"valkey": "Unreachable"})
    finally:
        hotstate_client.valkey.cache_clear()
