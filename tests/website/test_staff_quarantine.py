"""Staff mend what couldn't be charged: a line, or all of a kind."""

import pytest
from django.test import Client

from accounts.models import ApiKey, AuditEntry, User
from billing.models import (
    Balance,
    QuarantinedLine,
    QuarantineReason,
    QuarantineRun,
    Segment,
    UsageEvent,
)
from billing.quarantine import runs
from billing.quarantine.looking import Kind
from billing.quarantine.runs import go_on, start_run
from catalog.models import Model
from tests.cast import make_key, make_model, make_organization, raw, usage_line
from tests.website.quarantining import now, of_unknown_model, post, post_waiting, shown

pytestmark = pytest.mark.django_db
QUARANTINE = "/staff/usage/quarantine/"


class TestLines:
    def test_reasons_are_counted_and_a_kind_lists_its_lines(self, staff_browser: Client, key: ApiKey) -> None:
        of_unknown_model(key, 3)
        post(raw({**usage_line(key), "key": "key_nobody"}))
        page = shown(staff_browser, QUARANTINE)
        assert "Unknown model" in page
        assert "Unknown API key" in page
        page = shown(staff_browser, QUARANTINE + "unknown_model/")
        assert "All 3 lines" in page
        assert "Add the model and its price" in page
        assert shown(staff_browser, QUARANTINE + "unknown_model/?detail=other").count("Nothing waits") == 1
        assert staff_browser.get(QUARANTINE + "nonsense/").status_code == 404

    @pytest.mark.parametrize("reason", QuarantineReason)
    def test_every_reason_has_advice(self, staff_browser: Client, reason: QuarantineReason) -> None:
        page = shown(staff_browser, f"{QUARANTINE}{reason}/")
        assert reason.label.replace("'", "&#x27;") in page
        assert "<p></p>" not in page.replace("\n", "")

    def test_a_line_is_replayed_as_it_is_once_its_model_is_there(
        self, staff_browser: Client, staff: User, key: ApiKey
    ) -> None:
        (line,) = of_unknown_model(key)
        make_model("new-model")
        address = f"{QUARANTINE}lines/{line.pk}/"
        assert "new-model" in shown(staff_browser, address)
        for _ in range(2):
            assert staff_browser.post(address + "replay/").status_code == 302
        post_waiting()
        line.refresh_from_db()
        assert line.replay and line.replay.new == 1
        assert (Segment.objects.filter(origin="replay").count(), UsageEvent.objects.count()) == (1, 1)
        assert AuditEntry.objects.get(action="quarantine.replay").actor == staff
        assert "It was replayed" in shown(staff_browser, address)

    def test_a_line_that_still_can_not_be_charged_waits_again(self, staff_browser: Client, key: ApiKey) -> None:
        (line,) = of_unknown_model(key)
        staff_browser.post(f"{QUARANTINE}lines/{line.pk}/replay/")
        post_waiting()
        again = QuarantinedLine.objects.open().get()
        assert (again.reason, again.segment.origin) == ("unknown_model", "replay")

    def test_a_line_is_corrected_and_replayed(self, staff_browser: Client, key: ApiKey, model: Model) -> None:
        (line,) = of_unknown_model(key)
        address = f"{QUARANTINE}lines/{line.pk}/"
        right = bytes(line.raw).decode().replace("new-model", model.public_id)
        wrong = staff_browser.post(address, {"text": "{}", "note": "typo"})
        assert "This is no usage line" in wrong.content.decode()
        assert staff_browser.post(address, {"text": right, "note": ""}).status_code == 200
        assert staff_browser.post(address, {"text": right, "note": "typo"}).status_code == 302
        post_waiting()
        assert UsageEvent.objects.get().model_id == model.pk
        entry = AuditEntry.objects.get(action="quarantine.replay")
        assert "new-model" in entry.before["line"]
        assert model.public_id in entry.after["line"]

    def test_a_line_is_discarded_with_a_reason(self, staff_browser: Client, key: ApiKey) -> None:
        (line,) = of_unknown_model(key)
        address = f"{QUARANTINE}lines/{line.pk}/"
        staff_browser.post(address + "discard/", {"reason": ""})
        assert QuarantinedLine.objects.open().exists()
        staff_browser.post(address + "discard/", {"reason": "A test"})
        staff_browser.post(address + "replay/")
        assert not QuarantinedLine.objects.open().exists()
        assert not Segment.objects.filter(origin="replay").exists()
        assert "It was discarded" in shown(staff_browser, address)

    @pytest.mark.parametrize("raw_line", [b"\xff\xfe\x00garbage", b"<script>alert(1)</script>", b"x" * 70_000])
    def test_any_garbage_is_shown_and_discarded(self, staff_browser: Client, raw_line: bytes) -> None:
        line = post(raw(raw_line)).quarantined_lines.get()
        page = shown(staff_browser, f"{QUARANTINE}lines/{line.pk}/")
        assert "<script>alert" not in page
        assert shown(staff_browser, QUARANTINE + "malformed/")
        staff_browser.post(f"{QUARANTINE}lines/{line.pk}/discard/", {"reason": "Garbage"})
        assert AuditEntry.objects.get(action="quarantine.discard").reason == "Garbage"

    def test_a_row_for_many_lines_can_only_be_discarded(self, staff_browser: Client, key: ApiKey) -> None:
        line = post(b"x\n").quarantined_lines.get()
        address = f"{QUARANTINE}lines/{line.pk}/"
        assert "Correct it and replay" in shown(staff_browser, address)
        QuarantinedLine.objects.update(lines=7)
        assert "Correct it and replay" not in shown(staff_browser, address)
        staff_browser.post(address + "replay/")
        assert QuarantinedLine.objects.open().exists()

    def test_a_line_that_differs_says_what_replaying_does(
        self, staff_browser: Client, key: ApiKey, model: Model
    ) -> None:
        line = usage_line(key, model.public_id)
        waiting = post(raw(line, {**line, "outcome": "timeout"})).quarantined_lines.get()
        assert "event of its own" in shown(staff_browser, f"{QUARANTINE}lines/{waiting.pk}/")


class TestForeignLines:
    def foreign(self, key: ApiKey, model: Model) -> QuarantinedLine:
        segment = post(raw(usage_line(key, model.public_id)), organizations=["org_other"])
        return segment.quarantined_lines.get()

    def test_they_are_charged_only_if_a_person_says_that_the_sender_was_right(
        self, staff_browser: Client, key: ApiKey, model: Model
    ) -> None:
        line = self.foreign(key, model)
        address = f"{QUARANTINE}lines/{line.pk}/"
        staff_browser.post(address + "replay/")
        staff_browser.post(address, {"text": bytes(line.raw).decode(), "note": "x"})
        staff_browser.post(QUARANTINE + "foreign_organization/replay/")
        assert QuarantinedLine.objects.open().get() == line
        staff_browser.post(address + "replay/", {"confirmed": "on"})
        post_waiting()
        assert UsageEvent.objects.get().api_key_id == key.pk
        assert AuditEntry.objects.get(action="quarantine.replay").after["foreign_allowed"] is True

    def test_an_edit_for_another_reason_does_not_get_around_the_binding(
        self, staff_browser: Client, key: ApiKey, model: Model
    ) -> None:
        other, _ = make_key(make_organization("Other"))
        segment = post(raw(usage_line(key, "new-model")), organizations=[key.organization.public_id])
        line = segment.quarantined_lines.get()
        text = bytes(raw(usage_line(other, model.public_id))).decode()
        staff_browser.post(f"{QUARANTINE}lines/{line.pk}/", {"text": text, "note": "x"})
        post_waiting()
        assert QuarantinedLine.objects.open().get().reason == "foreign_organization"
        assert not UsageEvent.objects.exists()


class TestAllOfAKind:
    def run(self, run: QuarantineRun | None) -> QuarantineRun:
        assert run
        while go_on(run.pk, now()):
            pass
        run.refresh_from_db()
        return run

    def test_they_are_replayed_by_portions_and_once(
        self, staff_browser: Client, key: ApiKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs, "PORTION_LINES", 4)
        of_unknown_model(key, 10)
        make_model("new-model")
        for _ in range(2):
            staff_browser.post(QUARANTINE + "unknown_model/replay/")
        for run in QuarantineRun.objects.all():
            self.run(run)
        assert "10 of 10" in shown(staff_browser, QUARANTINE)
        assert list(QuarantineRun.objects.values_list("done", flat=True)) == [10]
        post_waiting()
        assert Segment.objects.filter(origin="replay").count() == 3
        assert UsageEvent.objects.count() == 10
        assert Balance.objects.get(organization=key.organization).nanos < 0
        assert AuditEntry.objects.filter(action="quarantine.replay_all").count() == 1

    def test_only_foreign_lines_can_be_confirmed(self, staff_browser: Client, key: ApiKey) -> None:
        """Else the binding of a sender's credential would fall for whatever its lines wait for."""
        bound = [key.organization.public_id]
        post(raw(usage_line(key, "new-model")), organizations=bound)
        staff_browser.post(QUARANTINE + "unknown_model/replay/", {"confirmed": "on"})
        self.run(QuarantineRun.objects.get())
        assert Segment.objects.get(origin="replay").organizations == bound

    def test_a_kind_that_can_not_be_is_not_found(self, staff_browser: Client) -> None:
        for action in ("replay", "discard"):
            answer = staff_browser.post(f"{QUARANTINE}malformed/{action}/", {"detail": "\0", "reason": "x"})
            assert answer.status_code == 404

    def test_what_waits_again_is_not_replayed_for_ever(self, staff: User, key: ApiKey) -> None:
        of_unknown_model(key, 3)
        kind = Kind("unknown_model")
        run = self.run(start_run(kind, QuarantineRun.Action.REPLAY, actor=staff, now=now()))
        post_waiting()
        assert (run.done, QuarantinedLine.objects.open().count(), go_on(run.pk, now())) == (3, 3, False)

    def test_one_kind_of_a_reason_leaves_the_others(self, staff: User, key: ApiKey) -> None:
        of_unknown_model(key, 2)
        post(raw({**usage_line(key), "model": "other"}))
        kind = Kind("unknown_model", "other")
        run = self.run(start_run(kind, QuarantineRun.Action.DISCARD, actor=staff, now=now(), note="Tests"))
        assert (run.done, QuarantinedLine.objects.open().count()) == (1, 2)
        assert start_run(kind, QuarantineRun.Action.DISCARD, actor=staff, now=now()) is None

    def test_discarding_all_needs_a_reason(self, staff_browser: Client, key: ApiKey) -> None:
        of_unknown_model(key, 2)
        staff_browser.post(QUARANTINE + "unknown_model/discard/", {"reason": ""})
        assert not QuarantineRun.objects.exists()
        staff_browser.post(QUARANTINE + "unknown_model/discard/", {"reason": "Tests"})
        self.run(QuarantineRun.objects.get())
        assert not QuarantinedLine.objects.open().exists()

    def test_a_killed_run_goes_on_where_it_was(self, staff: User, key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runs, "PORTION_LINES", 2)
        of_unknown_model(key, 5)
        run = start_run(Kind("unknown_model"), QuarantineRun.Action.DISCARD, actor=staff, now=now(), note="x")
        assert run and go_on(run.pk, now())
        sent: list[int] = []
        monkeypatch.setattr("billing.tasks.enqueue.now", lambda _task, pk: sent.append(pk))
        from billing.tasks import sweep_quarantine_runs

        sweep_quarantine_runs()
        assert sent == [run.pk]
        assert self.run(run).done == 5
