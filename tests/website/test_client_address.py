"""Log lines name the client's address as far as TRUSTED_PROXIES lets it be believed."""

from typing import Any

import pytest
import structlog
from django.test import Client


@pytest.mark.django_db
@pytest.mark.parametrize(("trusted", "logged"), [(0, "127.0.0.1"), (1, "203.0.113.9")])
def test_forwarded_addresses_count_only_from_trusted_proxies(
    client: Client, settings: Any, trusted: int, logged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = trusted
    bound: dict[str, Any] = {}

    def landing(*_: Any, **__: Any) -> None:
        bound.update(structlog.contextvars.get_contextvars())
        raise RuntimeError

    monkeypatch.setattr("website.views.landing.render", landing)
    client.raise_request_exception = False
    client.get("/", headers={"X-Forwarded-For": "198.51.100.7, 203.0.113.9"})
    assert bound["ip"] == logged
