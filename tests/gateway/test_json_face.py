"""The JSON face: verify, settle, release."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from billing.posting import post_segment
from gateway.faces.credentials import create_credential
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_segment, request_id
from tests.gateway.conftest import RunningGateway, announce, free_port
from tests.gateway.other_gateway import INVALID, NOW, TEMPLATE, OtherGateway, other, spend_nanos
from tests.gateway.serving import serving
from tests.gateway.test_limits import limit_key, limit_organization

__all__ = ["other"]


class TestJson:
    def test_what_an_allowed_request_is_told(self, other: OtherGateway) -> None:
        key = limit_key(other.asked, requests_per_minute=3, allowed_models=["demo-*"])
        told = other.verify().json
        assert told["hold"] == spend_nanos(100 + TEMPLATE, 100) == other.asked.held_nanos()
        assert (told["key"], told["org"]) == (key.public_id, key.organization.public_id)
        assert (told["scopes"], told["models"]) == (["chat", "embeddings", "models"], ["demo-*"])
        assert (told["model_checked"], told["tokens"], told["retry_after_ms"]) == (True, 200, None)
        assert told["route"]
        (limit,) = told["limits"]
        assert (limit["name"], limit["limit"], limit["left"]) == ("key.requests_per_minute", 3, 2)

    def test_a_request_of_unknown_size_holds_what_the_model_can_take(self, other: OtherGateway) -> None:
        from catalog.models import Model

        model = Model.objects.get()
        give_credit(other.asked.organization, 100 * DOLLAR, key="more")  # type: ignore[arg-type]
        told = other.verify(input_tokens=None, max_output_tokens=None)
        assert told.json["hold"] == spend_nanos(model.context_window + TEMPLATE, model.max_output_tokens)
        assert other.verify(input_tokens=None, input_bytes=50).json["hold"] == spend_nanos(50 + TEMPLATE, 100)

    def test_without_a_model_the_estimate_is_held_and_the_answer_says_so(
        self, other: OtherGateway, settings: Any
    ) -> None:
        told = other.verify(model=None).json
        assert (told["valid"], told["model_checked"], told["route"]) == (True, False, None)
        assert told["hold"] == settings.FORWARD_AUTH_HOLD_NANOS == DOLLAR // 100

    @pytest.mark.parametrize("endpoint", ["audio.transcriptions", "audio.speech", "images.generations", "videos"])
    def test_what_is_not_counted_in_tokens_holds_the_estimate_or_the_units(
        self, other: OtherGateway, settings: Any, endpoint: str
    ) -> None:
        prices = {"images": (DOLLAR // 10, 1), "seconds": (DOLLAR // 10, 1), "characters": (DOLLAR // 10, 1)}
        make_model(endpoint, prices=prices, families=["images", "transcriptions", "speech", "videos"])
        announce()
        limit_key(other.asked, scopes=["audio", "images", "videos"])
        asks = {"endpoint": endpoint, "model": endpoint, "input_tokens": None, "max_output_tokens": None}
        assert other.verify(**asks).json["hold"] == settings.FORWARD_AUTH_HOLD_NANOS
        told = other.verify(**asks, units={"images": 2}).json
        assert told["hold"] == 2 * DOLLAR // 10

    def test_listing_models_holds_nothing(self, other: OtherGateway) -> None:
        told = other.verify(endpoint="models", model=None).json
        assert (told["valid"], told["hold"]) == (True, None)
        assert other.asked.open_holds() == 0

    def test_the_same_request_twice_holds_once(self, other: OtherGateway) -> None:
        limit_key(other.asked, requests_per_minute=1)
        brought = str(request_id(datetime.now(UTC)))
        answers = [other.verify(request_id=brought).json for _ in range(3)]
        assert [(answer["valid"], answer["request_id"]) for answer in answers] == [(True, brought)] * 3
        assert other.asked.held_nanos() == answers[0]["hold"]
        assert other.asked.open_holds() == 1

    def test_the_id_of_another_request_is_refused(self, other: OtherGateway) -> None:
        """Of another key, of one that holds less, of one that has ended: what isn't held isn't allowed."""
        _, secret = make_key(other.asked.organization)
        used = (409, INVALID, "request_id_used")
        brought = str(request_id(datetime.now(UTC)))
        told = other.verify(request_id=brought).json
        held = other.asked.held_nanos()
        assert other.verify(secret, request_id=brought).error == used
        assert other.verify(request_id=brought, max_output_tokens=101).error == used
        assert other.verify(request_id=brought, max_output_tokens=99).json["valid"]
        assert other.asked.held_nanos() == held
        other.settle(told)
        assert other.verify(request_id=brought).error == used

    def test_settled_exactly(self, other: OtherGateway) -> None:
        told = other.verify().json
        answer = other.settle(told)
        assert answer.status == 200
        charge = spend_nanos(90, 50)
        assert answer.json == {"request_id": told["request_id"], "settled": True, "charge": charge}
        (line,) = other.asked.lines()
        assert (line["id"], line["charge_nanos"], line["via"]) == (told["request_id"], charge, other.name)
        assert line["source"].startswith("gw-")
        assert other.asked.held_nanos() == charge

    def test_settling_twice_is_one_event(self, other: OtherGateway) -> None:
        from billing.models import Balance, UsageEvent

        told = other.verify().json
        assert [other.settle(told).json["settled"] for _ in range(2)] == [True, False]
        (line, _) = other.asked.lines(2)
        post_segment(make_segment(other.asked.logged(), source=line["source"]).pk, now=datetime.now(UTC))
        assert UsageEvent.objects.get(pk=told["request_id"]).charge_nanos == spend_nanos(90, 50)
        assert Balance.objects.get(organization=other.asked.organization).nanos == DOLLAR - spend_nanos(90, 50)
        assert other.asked.held_nanos() == 0

    def test_nobody_else_ends_a_request(self, other: OtherGateway) -> None:
        """Not what another gateway holds, nor what was answered here."""
        credential, secret = create_credential(f"second {uuid4()}", sources=["gw-*"], now=datetime.now(UTC))
        second = OtherGateway(other.asked, secret, credential.name)
        told = other.verify().json
        ended = {"request_id": told["request_id"], "org": told["org"]}
        assert second.settle(told).error == (409, INVALID, "request_id_used")
        assert second.call("/v1/keys/release", ended).json["released"] is False
        assert other.asked.held_nanos() == told["hold"]
        assert other.settle(told).json["settled"]
        answered = other.asked.chat().headers["x-request-id"]
        assert second.settle({**told, "request_id": answered}).error == (409, INVALID, "request_id_used")

    def test_an_id_that_was_posted_leaves_no_hold_when_it_is_used_again(self, other: OtherGateway) -> None:
        brought = str(request_id(datetime.now(UTC)))
        for _ in range(2):
            other.settle(other.verify(request_id=brought).json)
            assert other.asked.held_nanos()
            segment = make_segment(other.asked.logged(), source=other.asked.source)
            post_segment(segment.pk, now=datetime.now(UTC))
            assert other.asked.held_nanos() == 0

    @pytest.mark.parametrize("says", [{}, {"tokens": 900}], ids=["untold", "told"])
    def test_tokens_are_corrected_by_what_was_estimated(self, other: OtherGateway, says: dict[str, int]) -> None:
        limit_key(other.asked, tokens_per_minute=1000)
        told = other.verify(max_output_tokens=800).json
        assert told["limits"][0]["left"] < 150
        other.settle(told, **says)
        (limit,) = other.asked.request("GET", "/v1/key").json["limits"]
        assert 850 <= limit["left"] <= 900

    def test_released_leaves_nothing(self, other: OtherGateway) -> None:
        limit_key(other.asked, tokens_per_minute=1000)
        limit_organization(other.asked, tokens_per_minute=1000)
        kept, told = (other.verify(max_output_tokens=most).json for most in (300, 400))
        gone = {"request_id": told["request_id"], "org": told["org"]}
        assert [other.call("/v1/keys/release", gone).json["released"] for _ in range(2)] == [True, False]
        assert other.asked.held_nanos() == kept["hold"]
        other.settle(kept)
        assert [line["id"] for line in other.asked.lines(1)] == [kept["request_id"]]
        of_tokens = [limit for limit in other.asked.request("GET", "/v1/key").json["limits"] if limit["limit"] == 1000]
        # No more than the 400 of the one that is kept, in both limits, and no less.
        assert [600 <= limit["left"] < 1000 for limit in of_tokens] == [True, True]

    def test_a_release_gives_back_the_tokens_though_another_process_answered_verify(
        self, other: OtherGateway, tmp_path: Path, settings: Any
    ) -> None:
        key = limit_key(other.asked, tokens_per_minute=1000)
        settings.GATEWAY_SPOOL_DIR = tmp_path
        with serving(tmp_path, free_port()) as own:
            asked = RunningGateway(own.port, tmp_path, own.application, other.asked.secret, key)
            told = OtherGateway(asked, other.credential).verify(max_output_tokens=800).json
        assert told["limits"][0]["left"] < 150
        gone = {"request_id": told["request_id"], "org": told["org"]}
        assert other.call("/v1/keys/release", gone).json["released"]
        (limit,) = other.asked.request("GET", "/v1/key").json["limits"]
        assert limit["left"] > 900

    def test_what_failed_costs_nothing(self, other: OtherGateway) -> None:
        assert other.settle(other.verify().json, outcome="upstream_error", status=502).json["charge"] == 0
        assert other.asked.held_nanos() == 0

    @pytest.mark.parametrize(
        "fields",
        [
            {"endpoint": "nothing"},
            {"model": ""},
            {"model": 5},
            {"max_output_tokens": 0},
            {"max_output_tokens": 10**30},
            {"input_tokens": -1},
            {"surprise": 1},
            {"request_id": "nonsense"},
            {"request_id": "5ad2a8f8-98a1-4d0e-8d4c-3a0f8c0a6a11"},
            {"request_id": str(request_id(NOW - timedelta(minutes=5)))},
            {"request_id": str(request_id(NOW + timedelta(minutes=5)))},
        ],
    )
    def test_a_question_that_makes_no_sense(self, other: OtherGateway, fields: dict[str, Any]) -> None:
        assert other.verify(**fields).error[:2] == (400, INVALID)
        assert other.asked.held_nanos() == 0

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 10_000])
    @pytest.mark.parametrize("path", ["/v1/keys/verify", "/v1/keys/settle", "/v1/keys/release"])
    def test_a_body_that_makes_no_sense(self, other: OtherGateway, path: str, body: bytes) -> None:
        assert other.call(path, body).error[:2] == (400, INVALID)

    @pytest.mark.parametrize(
        "fields",
        [
            {"key": "key_ofAnother"},
            {"org": "org_another"},
            {"org": "org_{x}"},
            {"outcome": "great"},
            {"usage": {"nonsense": 1}},
            {"usage": {"input_tokens": -1}},
            {"usage": {"input_tokens": 10**40}},
            {"usage": {"input_tokens": 10**19}},
            {"model": ""},
            {"model": "a\u0000b"},
            {"status": -1},
            {"ended": "2026-01-01T00:00:00"},
            {"source": "gw-forged"},
            {"charge_nanos": 0},
            {"request_id": str(request_id(NOW + timedelta(hours=1)))},
        ],
    )
    def test_an_end_that_makes_no_sense_writes_no_line(self, other: OtherGateway, fields: dict[str, Any]) -> None:
        told = other.verify().json
        assert other.settle(told, **fields).error[:2] == (400, INVALID)
        assert other.asked.open_holds() == 1
        other.call("/v1/keys/release", {"request_id": told["request_id"], "org": told["org"]})
        assert other.asked.lines(0) == []

    def test_only_post(self, other: OtherGateway) -> None:
        assert other.asked.request("GET", "/v1/keys/verify").error == (405, INVALID, "method_not_allowed")
