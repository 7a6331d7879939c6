"""What the web server tells Prometheus of the whole."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models.alarm import raise_alarm
from hotstate import holds, names, scripts
from hotstate.records import BalanceRecord, KeyRecord, OrganizationRecord, Windows
from tests.cast import ERA, load_into_era, make_segment, raw

TOKEN = "a token that only the scraper has, 32"
NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def scraper(settings: Any) -> Client:
    settings.METRICS_TOKEN = TOKEN
    return Client(headers={"Authorization": f"Bearer {TOKEN}"})


def test_only_the_scraper_may_see_them(db: None, scraper: Client, settings: Any) -> None:
    assert scraper.get("/metrics").status_code == 200
    assert Client().get("/metrics").status_code == 404
    assert Client(headers={"Authorization": "Bearer another"}).get("/metrics").status_code == 404
    settings.METRICS_TOKEN = ""
    assert Client(headers={"Authorization": "Bearer "}).get("/metrics").status_code == 404


@pytest.mark.django_db
def test_what_waits_is_counted(scraper: Client, empty_valkey: Any, settings: Any, tmp_path: Any) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}
    make_segment(raw(b"{}"))
    raise_alarm("books", "one", "", now=NOW)
    told = scraper.get("/metrics").content.decode()
    assert "keymeter_segments_waiting 1.0" in told
    assert 'keymeter_alarms_open{kind="books"} 1.0' in told
    assert "keymeter_valkey_up 1.0" in told


@pytest.mark.django_db
def test_lapsed_holds_are_counted(scraper: Client, empty_valkey: Any) -> None:
    load_into_era(OrganizationRecord(org="org_a", version=1, suspended=False, overdraft_nanos=0))
    record = KeyRecord(
        key="key_a",
        org="org_a",
        version=1,
        revoked=False,
        expires_ms=None,
        scopes=frozenset(),
        models=frozenset(),
        secrets={},
    )
    load_into_era(record)
    load_into_era(BalanceRecord(org="org_a", version=1, nanos=100))
    now_ms = int(NOW.timestamp() * 1000)
    asked = [now_ms, "r", 1, "", 50, 1000, "key_a", 0, *Windows.at(NOW), "take", "", ERA, 1]
    assert empty_valkey.eval(scripts.DECIDE, 5, *names.decision_keys("org_a", "key_a"), *asked)[0] == b"allowed"
    holds.list_holding()
    assert holds.sweep_lapsed(NOW) == 0
    assert holds.sweep_lapsed(NOW + timedelta(seconds=2)) == 1
    assert "keymeter_holds_lapsed_total 1.0" in scraper.get("/metrics").content.decode()
