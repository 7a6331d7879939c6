"""Images, speech, moderations and rerank: counted by the request or the upstream's report, held and charged."""

import json
from typing import Any

import pytest

from billing.tariff import UnitPrice
from catalog.models import Model
from tests.cast import make_key, make_model
from tests.gateway.conftest import RunningGateway, Says, announce
from tests.gateway.scripted import whole

IMAGE = {"model": "demo-image", "prompt": "a grey cat"}
PER_IMAGE = [UnitPrice("images", 40_000_000), UnitPrice("images", 80_000_000, variant="1024x1024-hd")]
PRICES: dict[str, Any] = {
    "demo-image": PER_IMAGE,
    "demo-picture": [UnitPrice("input_tokens", 5_000), UnitPrice("output_image_tokens", 40_000)],
    "demo-speech": [UnitPrice("characters", 15_000_000_000, 1_000_000)],
    "demo-moderation": [UnitPrice("requests", 0)],
    "demo-rerank": [UnitPrice("search_units", 2_000_000)],
    "demo-unpriced": [UnitPrice("input_tokens", 1)],
}
FAMILIES = {"demo-speech": "speech", "demo-moderation": "moderations", "demo-rerank": "rerank"}


@pytest.fixture
def gateway(gateway: RunningGateway) -> RunningGateway:
    """With a model of each kind, and a key that may use them."""
    for name, prices in PRICES.items():
        if not Model.objects.filter(public_id=name).exists():
            make_model(name, prices=prices, families=[FAMILIES.get(name, "images")], max_output_tokens=1_000)
    Model.objects.filter(public_id__in=PRICES).update(enabled=True)
    announce()
    assert gateway.organization
    gateway.key, gateway.secret = make_key(gateway.organization, scopes=["images", "audio", "moderations", "rerank"])
    return gateway


def line(gateway: RunningGateway) -> tuple[dict[str, int], int]:
    """(meters, charge in nano-dollars) of the only request; what is held is what it costs."""
    (found,) = gateway.lines()
    assert gateway.held_nanos() == found["charge_nanos"]
    assert found["outcome"] == "completed"
    assert "estimated" not in found
    return found["usage"], found["charge_nanos"]


class TestImages:
    def test_each_is_charged_by_size_and_quality(self, gateway: RunningGateway) -> None:
        made = gateway.openai().images.generate(
            model="demo-image", prompt="a grey cat", n=2, size="1024x1024", quality="hd"
        )
        assert made.data
        assert [bool(image.b64_json) for image in made.data] == [True, True]
        assert line(gateway) == ({"requests": 1, "images": 2}, 160_000_000)
        assert gateway.lines()[0]["variant"] == "1024x1024-hd"

    def test_a_variant_without_a_price_of_its_own_has_the_plain_one(self, gateway: RunningGateway) -> None:
        assert gateway.post("/v1/images/generations", {**IMAGE, "size": "512x512"}).status == 200
        assert line(gateway) == ({"requests": 1, "images": 1}, 40_000_000)

    def test_where_tokens_are_priced_the_report_counts(self, gateway: RunningGateway) -> None:
        assert gateway.post("/v1/images/generations", {**IMAGE, "model": "demo-picture", "n": 3}).status == 200
        assert line(gateway) == ({"requests": 1, "input_tokens": 3, "output_image_tokens": 300}, 12_015_000)

    def test_fewer_than_asked_for_cost_less(self, gateway: RunningGateway, says: Says) -> None:
        says(whole(json.dumps({"data": [{"b64_json": "x"}]}).encode()))
        assert gateway.post("/v1/images/generations", {**IMAGE, "n": 4}).status == 200
        assert line(gateway) == ({"requests": 1, "images": 1}, 40_000_000)

    def test_more_than_asked_for_cost_what_was_asked_for(self, gateway: RunningGateway, says: Says) -> None:
        says(whole(json.dumps({"data": [{"b64_json": "x"}] * 9}).encode()))
        assert gateway.post("/v1/images/generations", {**IMAGE, "n": 2}).status == 200
        assert line(gateway) == ({"requests": 1, "images": 2}, 80_000_000)

    @pytest.mark.parametrize(
        ("fields", "param"),
        [({"n": 11}, "n"), ({"n": 0}, "n"), ({"size": 5}, "size"), ({"quality": "x" * 31}, "quality")],
    )
    def test_what_is_out_of_range_is_named(self, gateway: RunningGateway, fields: Any, param: str) -> None:
        answer = gateway.post("/v1/images/generations", {**IMAGE, **fields})
        assert (answer.error[0], answer.json["error"]["param"]) == (400, param)

    def test_what_the_balance_doesnt_cover_isnt_made(self, gateway: RunningGateway) -> None:
        # $1 is there.
        for _ in range(2):
            assert gateway.post("/v1/images/generations", {**IMAGE, "n": 10}).status == 200
        answer = gateway.post("/v1/images/generations", {**IMAGE, "n": 6})
        assert answer.error == (429, "insufficient_quota", "credit_balance_exhausted")
        assert gateway.post("/v1/images/generations", {**IMAGE, "n": 5}).status == 200

    def test_what_nobody_priced_keeps_its_hold(self, gateway: RunningGateway, says: Says) -> None:
        says(whole(json.dumps({"data": [{"b64_json": "x"}]}).encode()))
        assert gateway.post("/v1/images/generations", {**IMAGE, "model": "demo-unpriced"}).status == 200
        (found,) = gateway.lines()
        assert found["usage"] == {"requests": 1, "images": 1}


class TestSpeech:
    def test_characters_are_charged_and_bytes_passed_on(self, gateway: RunningGateway) -> None:
        spoken = gateway.openai().audio.speech.create(model="demo-speech", voice="alloy", input="hello wörld")
        assert spoken.content == b"s" * 11
        assert spoken.response.headers["content-type"] == "audio/mpeg"
        assert line(gateway) == ({"requests": 1, "characters": 11}, 165_000)

    def test_an_upstream_that_answers_no_sound_is_an_error_and_free(self, gateway: RunningGateway) -> None:
        answer = gateway.post("/v1/audio/speech", {"model": "demo-speech", "voice": "a", "input": "!garbage"})
        assert answer.error == (502, "server_error", "bad_gateway")
        assert gateway.lines()[0]["charge_nanos"] == 0

    def test_bytes_that_break_off_are_seen_to_break_off_and_free(self, gateway: RunningGateway, says: Says) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 100\r\n\r\n"
        says(head + b"half")
        with pytest.raises(Exception, match=r"IncompleteRead|incomplete"):
            gateway.post("/v1/audio/speech", {"model": "demo-speech", "voice": "a", "input": "hello"})
        (found,) = gateway.lines()
        assert (found["outcome"], found["charge_nanos"]) == ("upstream_error", 0)

    @pytest.mark.parametrize("fields", [{"input": ""}, {"input": ["a"]}, {"stream_format": "sse"}])
    def test_what_cant_be_spoken_is_refused(self, gateway: RunningGateway, fields: Any) -> None:
        body = {"model": "demo-speech", "voice": "a", "input": "hello", **fields}
        assert gateway.post("/v1/audio/speech", body).error[0] == 400


class TestModerations:
    def test_each_request_is_counted(self, gateway: RunningGateway) -> None:
        answer = gateway.openai().moderations.create(model="demo-moderation", input=["good", "bad"])
        assert [result.flagged for result in answer.results] == [False, True]
        assert line(gateway) == ({"requests": 1}, 0)


class TestRerank:
    BODY = {"model": "demo-rerank", "query": "grey cat", "documents": ["a dog", "a grey cat", "grey"]}

    def test_search_units_are_charged(self, gateway: RunningGateway) -> None:
        answer = gateway.post("/v1/rerank", {**self.BODY, "top_n": 2})
        assert [result["index"] for result in answer.json["results"]] == [1, 2]
        assert line(gateway) == ({"requests": 1, "search_units": 1}, 2_000_000)

    def test_where_nothing_is_reported_many_and_long_documents_are_several(self, gateway: RunningGateway) -> None:
        body = {**self.BODY, "query": "!nousage", "documents": ["short"] * 150 + ["long " * 1_000] * 20}
        assert gateway.post("/v1/rerank", body).status == 200
        (found,) = gateway.lines()
        # 150, and 20 of three parts each.
        assert (found["usage"], found["estimated"]) == ({"requests": 1, "search_units": 3}, True)
        assert gateway.held_nanos() == found["charge_nanos"] == 6_000_000

    @pytest.mark.parametrize("documents", [None, [], "text", ["a"] * 10_001])
    def test_without_documents_there_is_nothing_to_rank(self, gateway: RunningGateway, documents: Any) -> None:
        answer = gateway.post("/v1/rerank", {**self.BODY, "documents": documents})
        assert (answer.error[0], answer.json["error"]["param"]) == (400, "documents")


def test_each_endpoint_wants_its_scope(gateway: RunningGateway) -> None:
    assert gateway.organization
    _, secret = make_key(gateway.organization, scopes=["chat"])
    for path, body in {
        "images/generations": IMAGE,
        "audio/speech": {"model": "demo-speech", "input": "x"},
        "moderations": {"model": "demo-moderation", "input": "x"},
        "rerank": TestRerank.BODY,
    }.items():
        assert gateway.post(f"/v1/{path}", body, secret=secret).error[2] == "missing_scope", path


def test_a_model_of_another_kind_isnt_sold_there(gateway: RunningGateway) -> None:
    assert gateway.post("/v1/images/generations", {**IMAGE, "model": "demo-speech"}).error[2] == "model_not_found"
