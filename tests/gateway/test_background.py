"""Responses in the background: held for as long as they run, and charged once when they end, whoever finds out."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from django.db import DatabaseError
from django.utils import timezone

from billing.posting import post_segment
from billing.tariff import UnitPrice
from catalog.models import Model, Route
from gateway.models import UnfinishedWork
from gateway.stored import unfinished
from hotstate import recovery
from hotstate.client import valkey
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_segment
from tests.gateway.conftest import RunningGateway, announce, free_port
from tests.gateway.fleet import started
from tests.gateway.serving import wait_until_ready
from tests.waiting import wait_until

MODEL = "demo-background"
INPUT, OUTPUT = 1_000, 10_000
ALWAYS = 10**6


@pytest.fixture
def gateway(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningGateway]:
    monkeypatch.setattr("gateway.stored.caretaker.POLL_SECONDS", 0.05)
    monkeypatch.setattr("gateway.stored.unfinished.FIRST_PAUSE", timedelta(milliseconds=100))
    monkeypatch.setattr("gateway.stored.unfinished.LONGEST_PAUSE", timedelta(milliseconds=100))
    if not Model.objects.filter(public_id=MODEL).exists():
        prices = [UnitPrice("input_tokens", INPUT), UnitPrice("output_tokens", OUTPUT)]
        make_model(MODEL, prices=prices, families=["responses"], max_output_tokens=100)
    Model.objects.filter(public_id=MODEL).update(enabled=True)
    announce()
    assert gateway.organization
    gateway.key, gateway.secret = make_key(gateway.organization, scopes=["responses"])
    yield gateway
    UnfinishedWork.objects.all().delete()


def begin(gateway: RunningGateway, said: str = "hello world", **fields: Any) -> Any:
    body = {"model": MODEL, "input": said, "background": True, **fields}
    return gateway.post("/v1/responses", body)


def look(gateway: RunningGateway, name: str) -> Any:
    return gateway.request("GET", f"/v1/responses/{name}")


def finish(gateway: RunningGateway, name: str) -> None:
    """The demo server takes one that is streamed as finished."""
    answer = gateway.request("GET", f"/v1/responses/{name}?stream=true&starting_after=0")
    assert b"response.completed" in answer.body


def line(gateway: RunningGateway) -> dict[str, Any]:
    (found,) = gateway.lines()
    assert gateway.held_nanos() == found["charge_nanos"]
    return found


USED = {"requests": 1, "input_tokens": 3, "output_tokens": 5}
CHARGE = 3 * INPUT + 5 * OUTPUT


def test_it_is_charged_once_when_we_find_that_it_has_ended(gateway: RunningGateway) -> None:
    answer = begin(gateway, "hello world !looks=2")
    assert answer.json["status"] == "queued"
    found = line(gateway)
    assert (found["usage"], found["charge_nanos"]) == (USED, CHARGE)
    assert (found["id"], found["stored"]) == (answer.headers["x-request-id"], answer.json["id"])


def test_it_is_charged_before_the_client_hears_of_its_end(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.stored.unfinished.take_due", lambda now: [])
    client = gateway.openai()
    made = client.responses.create(model=MODEL, input="hello world !looks=2", background=True)
    seen = [made.status]
    while seen[-1] in ("queued", "in_progress"):
        assert gateway.written() == 0
        made = client.responses.retrieve(made.id)
        seen.append(made.status)
    assert seen == ["queued", "in_progress", "in_progress", "completed"]
    assert gateway.written() == 1
    client.responses.retrieve(made.id)
    assert line(gateway)["usage"] == USED


def test_the_worst_case_stays_held_while_it_runs(gateway: RunningGateway) -> None:
    name = begin(gateway, f"hello !looks={ALWAYS}").json["id"]
    held = gateway.held_nanos()
    assert held > 100 * OUTPUT
    work = UnfinishedWork.objects.get(upstream_id=name)
    assert work.held_nanos == held
    assert gateway.organization
    leases = f"km:{{{gateway.organization.public_id}}}:leases"
    before = valkey().zscore(leases, str(work.request_id))
    wait_until(lambda: valkey().zscore(leases, str(work.request_id)) > before, "the lease to be renewed")
    assert (gateway.written(), gateway.held_nanos()) == (0, held)


def test_a_cancelled_one_is_charged_as_far_as_it_came(gateway: RunningGateway) -> None:
    client = gateway.openai()
    made = client.responses.create(model=MODEL, input=f"hello !looks={ALWAYS}", background=True)
    assert client.responses.cancel(made.id).status == "cancelled"
    found = line(gateway)
    assert (found["outcome"], found["estimated"]) == ("client_disconnected", True)
    assert found["usage"] == {"requests": 1, "input_tokens": 6, "output_tokens": 0}


def test_one_that_fails_costs_nothing(gateway: RunningGateway) -> None:
    begin(gateway, "hello !fail")
    assert line(gateway)["outcome"] == "upstream_error"
    assert gateway.held_nanos() == 0


def test_another_organization_cancels_nothing(gateway: RunningGateway) -> None:
    name = begin(gateway, f"hello !looks={ALWAYS}").json["id"]
    other = make_organization("Other")
    give_credit(other, DOLLAR)
    _, secret = make_key(other, scopes=["responses"])
    theirs = gateway.request("POST", f"/v1/responses/{name}/cancel", secret=secret)
    none = gateway.request("POST", "/v1/responses/resp-none/cancel", secret=secret)
    assert (theirs.status, theirs.body) == (404, none.body)
    assert look(gateway, name).json["status"] == "in_progress"


@pytest.mark.parametrize(("said", "outcome"), [("hello world !looks=0", "completed"), (f"!looks={ALWAYS}", None)])
def test_who_deletes_it_pays_it_first(
    gateway: RunningGateway, said: str, outcome: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.stored.unfinished.take_due", lambda now: [])
    name = begin(gateway, said).json["id"]
    assert gateway.request("DELETE", f"/v1/responses/{name}").status == 200
    assert line(gateway)["outcome"] == (outcome or "client_disconnected")
    assert look(gateway, name).status == 404


class TestStreamed:
    def test_the_end_of_the_stream_is_charged_once(self, gateway: RunningGateway) -> None:
        events = list(
            gateway.openai().responses.create(model=MODEL, input="hello world !x", background=True, stream=True)
        )
        assert events[-1].type == "response.completed"
        assert line(gateway)["usage"] == USED

    def test_who_goes_away_leaves_it_running(self, gateway: RunningGateway) -> None:
        said = "hello !words=30 !delay=0.05"
        with gateway.openai().responses.create(model=MODEL, input=said, background=True, stream=True) as stream:
            first: Any = next(iter(stream))
        found = line(gateway)
        assert (found["outcome"], found["usage"]["output_tokens"]) == ("completed", 30)
        assert found["stored"] == first.response.id


class TestWhatComesInBetween:
    def test_a_killed_gateway_s_work_is_charged_by_another(self, gateway: RunningGateway, tmp_path: Path) -> None:
        port = free_port()
        process = started(port, tmp_path / "spool")
        try:
            wait_until_ready(port)
            client = openai.OpenAI(api_key=gateway.secret, base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)
            made = client.responses.create(model=MODEL, input=f"hello world !looks={ALWAYS}", background=True)
            held = gateway.held_nanos()
        finally:
            process.kill()
            process.wait(10)
        assert (gateway.held_nanos(), gateway.written()) == (held, 0)
        finish(gateway, made.id)
        assert line(gateway)["usage"] == USED
        assert list((tmp_path / "spool").glob("*/gw-*.jsonl")) == []

    def test_a_gateway_that_was_killed_before_the_line_has_it_written_by_another(
        self, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = begin(gateway, f"hello world !looks={ALWAYS}").json["id"]
        work = UnfinishedWork.objects.get(upstream_id=name)
        assert unfinished.end(work, {"outcome": "completed", "usage": USED, "estimated": False}, timezone.now())
        assert line(gateway)["usage"] == USED

    def test_a_loss_of_valkey_gives_nothing_of_its_hold_away(self, gateway: RunningGateway) -> None:
        name = begin(gateway, f"hello world !looks={ALWAYS}").json["id"]
        held = gateway.held_nanos()
        valkey().flushdb()
        wait_until(lambda: gateway.application.gateway.hotstate.era is None, "the loss to be noticed")
        recovery.recover_if_lost(timezone.now)
        wait_until(lambda: gateway.application.gateway.hotstate.era, "decisions to go on")
        assert gateway.held_nanos() == held
        finish(gateway, name)
        assert line(gateway)["usage"] == USED

    def test_two_who_find_out_at_once_write_one_line(
        self, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.stored.unfinished.take_due", lambda now: [])
        name = begin(gateway).json["id"]
        work = UnfinishedWork.objects.get(upstream_id=name)
        ending = {"outcome": "completed", "usage": USED, "estimated": False}
        assert [unfinished.end(work, ending, timezone.now()) for _ in range(2)] == [True, False]

    def test_without_the_database_it_is_not_begun(
        self, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_work: UnfinishedWork) -> None:
            raise DatabaseError("away")

        with monkeypatch.context() as losing:
            losing.setattr("gateway.stored.unfinished.begin", away)
            answer = begin(gateway, f"hello !looks={ALWAYS}")
        assert answer.error == (503, "server_error", "service_unavailable")
        assert line(gateway)["charge_nanos"] == 0


class TestTheBound:
    def old(self, gateway: RunningGateway) -> str:
        name = str(begin(gateway, f"hello world !looks={ALWAYS}").json["id"])
        UnfinishedWork.objects.filter(upstream_id=name).update(started_at=timezone.now() - timedelta(hours=25))
        return name

    def test_what_runs_for_too_long_is_cancelled_and_charged_as_far_as_it_came(self, gateway: RunningGateway) -> None:
        name = self.old(gateway)
        assert line(gateway)["outcome"] == "client_disconnected"
        assert look(gateway, name).json["status"] == "cancelled"

    def test_what_nobody_can_be_asked_about_costs_nothing(self, gateway: RunningGateway) -> None:
        Route.objects.filter(model__public_id=MODEL).update(enabled=True)
        try:
            name = str(begin(gateway, f"hello world !looks={ALWAYS}").json["id"])
            Route.objects.filter(model__public_id=MODEL).update(enabled=False)
            announce()
            UnfinishedWork.objects.filter(upstream_id=name).update(started_at=timezone.now() - timedelta(hours=25))
            assert line(gateway)["outcome"] == "timeout"
            assert gateway.held_nanos() == 0
        finally:
            Route.objects.update(enabled=True)
            announce()


class TestRows:
    """What is kept until the line is in the books."""

    def ended(self, gateway: RunningGateway) -> UnfinishedWork:
        name = begin(gateway).json["id"]
        line(gateway)
        wait_until(lambda: UnfinishedWork.objects.get(upstream_id=name).logged == 1, "the row to say so")
        return UnfinishedWork.objects.get(upstream_id=name)

    def test_it_goes_once_its_line_is_posted(self, gateway: RunningGateway, settings: Any, tmp_path: Path) -> None:
        work = self.ended(gateway)
        storages = {**settings.STORAGES}
        storages["archive"] = {**storages["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
        settings.STORAGES = storages
        found = line(gateway)
        content = json.dumps(found).encode() + b"\n"
        segment = post_segment(make_segment(content, source=found["source"]).pk, now=timezone.now())
        assert segment
        assert segment.new == 1
        unfinished.hasten(work.request_id, timezone.now())
        UnfinishedWork.objects.filter(pk=work.pk).update(look_at=timezone.now())
        wait_until(lambda: not UnfinishedWork.objects.filter(pk=work.pk).exists(), "the row to go")
        assert gateway.written() == 1

    def test_a_line_that_never_came_is_written_once_more_and_the_same(self, gateway: RunningGateway) -> None:
        work = self.ended(gateway)
        UnfinishedWork.objects.filter(pk=work.pk).update(look_at=timezone.now())
        first, second = gateway.lines(2)
        same = ("id", "usage", "outcome", "key", "model", "charge_nanos")
        assert [first[name] for name in same] == [second[name] for name in same]
