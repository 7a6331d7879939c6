"""Members see why requests were refused, and only their own; staff see all."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.test import Client

from accounts.models import ApiKey, Organization, User
from catalog.models import Model
from hotstate import decision_log, names
from hotstate.client import valkey
from hotstate.decision_log import DecisionRecord
from tests.cast import DOLLAR, give_credit, request_id
from tests.website.browsing import use

Browse = Callable[[User], Client]


def refuse(key: ApiKey, **fields: Any) -> UUID:
    """What a gateway records of a refusal."""
    now = datetime.now(UTC)
    refused = request_id(now)
    record = DecisionRecord(
        id=str(refused),
        at_ms=int(now.timestamp() * 1000),
        face="api",
        org=key.organization.public_id,
        key=key.public_id,
        **{"verdict": "insufficient_balance", "model": "demo", "hold_nanos": DOLLAR, **fields},
    )
    content = {"id": record.id, "record": msgspec.json.encode(record)}
    valkey().xadd(decision_log.stream_of(record.org), content)  # type: ignore[arg-type]
    valkey().sadd(names.DECIDED, record.org)
    return refused


@pytest.fixture(autouse=True)
def _nothing_recorded(empty_valkey: Any) -> None:
    pass


def test_refusals_are_listed_and_explained(
    browse: Browse, owner: User, organization: Organization, key: ApiKey
) -> None:
    refused = refuse(key, organization={"balance": "12400000"})
    browser, base = browse(owner), f"/o/{organization.public_id}"
    listed = browser.get(f"{base}/refusals/").content.decode()
    assert f"{base}/requests/{refused}/decision/" in listed
    assert "insufficient balance" in listed
    page = browser.get(f"{base}/requests/{refused}/decision/").content.decode()
    assert "$0.0124" in page
    assert "Top up" in page


def test_an_id_leads_to_its_page(browse: Browse, owner: User, organization: Organization, key: ApiKey) -> None:
    refused = refuse(key)
    browser, base = browse(owner), f"/o/{organization.public_id}"
    assert browser.get(f"{base}/refusals/", {"id": str(refused)})["Location"] == f"{base}/requests/{refused}/decision/"
    assert "looks like" in browser.get(f"{base}/refusals/", {"id": "abc"}).content.decode()


def test_nobody_else_finds_it(browse: Browse, outsider: User, organization: Organization, key: ApiKey) -> None:
    refused = refuse(key)
    browser = browse(outsider)
    mine = outsider.memberships.get().organization
    assert browser.get(f"/o/{organization.public_id}/requests/{refused}/decision/").status_code == 404
    page = browser.get(f"/o/{mine.public_id}/requests/{refused}/decision/")
    assert page.status_code == 404
    assert b"insufficient" not in page.content


def test_an_allowed_request_without_a_record_leads_to_its_receipt(
    browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model
) -> None:
    event = use(key, model)[0]
    page = browse(owner).get(f"/o/{organization.public_id}/requests/{event.id}/decision/")
    assert page.status_code == 200
    assert f"/requests/{event.id}/" in page.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_key_can_be_tried(browse: Browse, owner: User, organization: Organization, key: ApiKey, model: Model) -> None:
    address = f"/o/{organization.public_id}/keys/{key.public_id}/try/"
    browser = browse(owner)
    asked = {"endpoint": "chat.completions", "model": model.public_id, "output_tokens": "100", "input_tokens": "0"}
    assert "It would be refused: insufficient balance" in browser.get(address, asked).content.decode()
    give_credit(organization, DOLLAR)
    assert "It would be allowed" in browser.get(address, asked).content.decode()
    wrong = browser.get(address, {**asked, "output_tokens": "-1"}).content.decode()
    assert "greater than or equal to 1" in wrong


def test_staff_explain_any_request(staff_browser: Client, key: ApiKey) -> None:
    refused = refuse(key, secret="sec_a", address="192.0.2.7")
    page = staff_browser.get("/staff/explain/", {"id": str(refused)}).content.decode()
    assert key.organization.public_id in page
    assert "192.0.2.7" in page
    unknown = request_id(datetime.now(UTC))
    assert "No such decision" in staff_browser.get("/staff/explain/", {"id": str(unknown)}).content.decode()


def test_without_valkey_the_pages_say_so(
    browse: Browse, owner: User, organization: Organization, key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hotstate import client

    refused = refuse(key)
    client.valkey.cache_clear()
    monkeypatch.setattr("hotstate.client.valkey", lambda: client.redis.Redis(port=9))
    browser, base = browse(owner), f"/o/{organization.public_id}"
    assert "be read right now" in browser.get(f"{base}/refusals/").content.decode()
    assert "be read right now" in browser.get(f"{base}/requests/{refused}/decision/").content.decode()
