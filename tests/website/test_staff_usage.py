"""Staff see who sends usage, in which segments, and what is missing of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import ApiKey, AuditEntry, User
from billing.models import (
    Segment,
    SequenceGap,
)
from billing.sequences import note_sequences
from catalog.models import Model
from hotstate.models import LapsedHold
from tests.cast import make_segment, raw, usage_line
from tests.website.quarantining import now, post, shown

pytestmark = pytest.mark.django_db
QUARANTINE = "/staff/usage/quarantine/"


class TestWhoMay:
    @pytest.mark.parametrize("path", ["", "segments/", "quarantine/", "quarantine/torn/"])
    def test_customers_see_nothing_of_it(self, browse: Any, owner: User, path: str) -> None:
        assert browse(owner).get(f"/staff/usage/{path}").status_code in (302, 403, 404)


class TestSources:
    def test_nothing_yet_is_said(self, staff_browser: Client) -> None:
        page = shown(staff_browser, "/staff/usage/")
        for words in ("No usage yet", "No gaps", "No lapsed holds"):
            assert words in page

    def test_a_source_shows_how_far_it_is_and_what_is_missing(
        self, staff_browser: Client, staff: User, key: ApiKey, model: Model
    ) -> None:
        post(raw(*[usage_line(key, model.public_id, seq=seq) for seq in (1, 4)]))
        note_sequences(now() + timedelta(minutes=1))
        page = shown(staff_browser, "/staff/usage/")
        assert "gw-test" in page
        assert "2 to 3" in page
        gap = SequenceGap.objects.get()
        address = f"/staff/usage/gaps/{gap.pk}/"
        assert "never come" in shown(staff_browser, address)
        assert staff_browser.post(address, {"explanation": ""}).status_code == 200
        assert staff_browser.post(address, {"explanation": "Disk lost"}).status_code == 302
        assert AuditEntry.objects.get(action="gap.explain").actor == staff
        assert "No gaps" in shown(staff_browser, "/staff/usage/")
        assert "Disk lost" in shown(staff_browser, address)

    def test_a_lapsed_hold_is_shown_and_explained(self, staff_browser: Client, key: ApiKey) -> None:
        hold = LapsedHold.objects.create(
            organization=key.organization.public_id, request_id="r-1", key=key.public_id, nanos=5, lapsed_at=now()
        )
        assert "r-1" in shown(staff_browser, "/staff/usage/")
        address = f"/staff/usage/lapsed/{hold.pk}/"
        assert "set aside" in shown(staff_browser, address)
        staff_browser.post(address, {"explanation": "Machine burned"})
        assert "No lapsed holds" in shown(staff_browser, "/staff/usage/")
        assert "Machine burned" in shown(staff_browser, address)


class TestSegments:
    def test_they_are_found_by_source_name_and_state(self, staff_browser: Client, key: ApiKey, model: Model) -> None:
        post(raw(usage_line(key, model.public_id)), identity="first")
        make_segment(b"", identity="second", source="gw-2")
        for query, found in (
            ("", {"first", "second"}),
            ("state=waiting", {"second"}),
            ("state=posted", {"first"}),
            ("state=quarantined", set()),
            ("source=gw-2", {"second"}),
            ("segment=fir", {"first"}),
        ):
            page = shown(staff_browser, f"/staff/usage/segments/?{query}")
            assert {name for name in ("first", "second") if f">{name}<" in page} == found, query

    def test_one_shows_its_counts_and_numbers(self, staff_browser: Client, key: ApiKey, model: Model) -> None:
        segment = post(raw(*[usage_line(key, model.public_id, seq=seq) for seq in (1, 2, 5)], b"{torn"))
        page = shown(staff_browser, f"/staff/usage/segments/{segment.pk}/")
        for words in ("1–2, 5", "Torn line", "Posted"):
            assert words in page

    def test_pages_go_by_key(self, staff_browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("website.views.staff.usage.PAGE", 2)
        for number in range(3):
            make_segment(b"", identity=f"number-{number}")
        page = shown(staff_browser, "/staff/usage/segments/")
        assert "number-2" in page
        assert "number-0" not in page
        after = Segment.objects.get(identity="number-1").pk
        assert f"after={after}" in page
        assert "number-0" in shown(staff_browser, f"/staff/usage/segments/?after={after}")
