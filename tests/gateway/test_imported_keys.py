"""Customers' keys from another system work as they are; what fits no pattern costs no look-up."""

import hashlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command

from accounts.models import ApiKey
from config.key_patterns import key_patterns
from hotstate import names
from hotstate.client import valkey
from tests.gateway.conftest import RunningGateway
from tests.gateway.test_limits import change_key

UNKNOWN = (401, "invalid_request_error", "invalid_api_key")


@pytest.fixture
def secret() -> str:
    return "sk-live-" + uuid4().hex


@pytest.fixture(params=["secret", "sha256"])
def imported(request: Any, secret: str, gateway: RunningGateway, settings: Any, tmp_path: Path) -> ApiKey:
    """Imported one way and the other."""
    settings.IMPORTED_KEY_PATTERNS = key_patterns("sk-live-[0-9a-z]{32}")
    value = secret if request.param == "secret" else hashlib.sha256(secret.encode()).hexdigest()
    (tmp_path / "keys.csv").write_text(f"name,{request.param}\nimported,{value}\n")
    assert gateway.organization
    call_command("import_keys", str(tmp_path / "keys.csv"), organization=gateway.organization.public_id, verbosity=0)
    return ApiKey.objects.get(name="imported", organization=gateway.organization)


def test_it_works_and_its_requests_are_its_own(gateway: RunningGateway, imported: ApiKey, secret: str) -> None:
    gateway.secret = secret
    assert gateway.chat().status == 200
    (line,) = gateway.lines()
    assert line["key"] == imported.public_id


def test_it_works_where_valkey_has_forgotten_it(gateway: RunningGateway, imported: ApiKey, secret: str) -> None:
    valkey().delete(*(name for name in valkey().scan_iter() if name != names.ERA.encode()))
    gateway.secret = secret
    assert gateway.request("GET", "/v1/key").json["id"] == imported.public_id


def test_a_change_reaches_it(gateway: RunningGateway, imported: ApiKey, secret: str) -> None:
    gateway.secret = secret
    assert gateway.request("GET", "/v1/models").status == 200
    change_key(imported, scopes=["chat"])
    assert gateway.request("GET", "/v1/models").error == (401, "invalid_request_error", "missing_scope")


def test_others_are_unknown(gateway: RunningGateway, imported: ApiKey, secret: str) -> None:
    for shown in (secret[:-1], secret + "a", secret.upper(), "sk-live-" + "b2" * 16):
        assert gateway.request("GET", "/v1/key", secret=shown).error == UNKNOWN
