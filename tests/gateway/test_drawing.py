"""Pictures out of chats: passed on whole, counted, charged by what has a price, and held before."""

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.estimating import TOKENS_PER_PICTURE, output_bytes
from billing.rate_card import Priced
from billing.rating import UnpricedError, charge
from billing.tariff import Tariff, UnitPrice
from catalog.models import Model, Route
from gateway.asking import drawing, model_limits
from gateway.asking.asked import Asked, read
from gateway.asking.endpoints import CHAT
from gateway.errors import ApiError
from gateway.http import events
from tests.cast import make_model
from tests.gateway.conftest import RunningGateway, Says, announce
from tests.gateway.scripted import DONE, HEAD, Step, chunk, whole
from tests.gateway.test_asked import MODEL

PAINTER = replace(MODEL, aspect_ratios=("1:1", "16:9"), image_sizes=("1K", "2K"), most_images=2, draws=True)
LINK = {"type": "image_url", "image_url": {"url": "https://cdn.example.com/cat.png"}}
DATA = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def asked(model: Any = PAINTER, **fields: Any) -> tuple[Asked, ApiError | None]:
    return model_limits.taken(read(orjson.dumps({"model": "m", "messages": [], **fields}), CHAT), CHAT, model)


def sent(found: Asked) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(found.for_upstream(CHAT, PAINTER, "theirs"))  # type: ignore[arg-type]
    return {name: told[name] for name in ("extra_body", "google", "image_config") if name in told}


def google(**config: Any) -> dict[str, Any]:
    return {"google": {"image_config": config}}


class TestWhatIsAskedFor:
    def test_both_spellings_reach_the_upstream_as_the_literal_one(self) -> None:
        wide = google(aspect_ratio="16:9", image_size="2K")
        for fields in ({"extra_body": wide}, wide, {"extra_body": wide, **wide}):
            found, error = asked(**fields)
            assert (error, sent(found), found.counted.variant) == (None, {"extra_body": wide}, "2K")

    def test_each_may_say_a_part(self) -> None:
        literal = {**google(image_size="2K"), "other": 1}
        found, _ = asked(extra_body=literal, google={"x": 1, **google(aspect_ratio="1:1")["google"]})
        config = {"aspect_ratio": "1:1", "image_size": "2K"}
        assert sent(found) == {"extra_body": {"other": 1, "google": {"x": 1, "image_config": config}}}

    def test_what_isnt_of_pictures_goes_the_same_way(self) -> None:
        thinking = {"google": {"thinking_config": {"include_thoughts": True}}}
        found, error = asked(**thinking)
        assert (error, sent(found)) == (None, {"extra_body": thinking})

    def test_some_upstreams_take_a_plain_one_which_stays(self) -> None:
        found, _ = asked(image_config={"image_size": "2k", "aspect_ratio": "1:1"})
        assert sent(found) == {"image_config": {"image_size": "2K", "aspect_ratio": "1:1"}}
        assert found.counted.variant == "2K"

    def test_a_size_is_spelled_as_the_model_has_it(self) -> None:
        found, _ = asked(**google(image_size="2k"))
        assert (found.counted.variant, sent(found)) == ("2K", {"extra_body": google(image_size="2K")})

    def test_without_one_nothing_changes(self) -> None:
        found, error = asked()
        assert (error, sent(found), found.counted.variant) == (None, {}, "")
        assert asked(**google(aspect_ratio="auto"))[1] is None

    @pytest.mark.parametrize(
        ("fields", "param", "told"),
        [
            ({"extra_body": google(aspect_ratio="2:1")}, "extra_body.google.image_config.aspect_ratio", "1:1, 16:9"),
            (google(image_size="4K"), "google.image_config.image_size", "1K, 2K"),
            (google(image_size=5), "google.image_config.image_size", "1K, 2K"),
            ({"image_config": {"image_size": "4K"}}, "image_config.image_size", "1K, 2K"),
            ({"google": {"image_config": "2K"}}, "google.image_config", "an object"),
            ({"image_config": []}, "image_config", "an object"),
            (
                {"extra_body": google(image_size="1K"), **google(image_size="2K")},
                "google.image_config.image_size",
                "1K elsewhere",
            ),
        ],
    )
    def test_what_the_model_hasnt_got_is_refused(self, fields: Any, param: str, told: str) -> None:
        _, error = asked(**fields)
        assert error
        assert (error.status, error.param, told in error.message) == (400, param, True)

    def test_strange_bodies_are_the_upstreams_to_judge(self) -> None:
        for fields in ({"extra_body": 5}, {"google": "x"}, {"extra_body": {"google": []}}, {"google": None}):
            assert asked(**fields)[1] is None


class TestCounting:
    @pytest.mark.parametrize(
        ("message", "pictures"),
        [
            ({"content": "a cat"}, 0),
            ({"content": "", "images": [DATA, LINK]}, 2),
            ({"content": [{"type": "text", "text": "a cat"}, DATA]}, 1),
            ({"content": "![a cat](data:image/png;base64,AAAA)"}, 1),
            ({"content": None, "images": [{"type": "image_url", "image_url": "https://x"}]}, 1),
            # A later part of one that has begun, and nonsense.
            ({"images": [{"image_url": {"url": "AAAA"}}, 5, {"image_url": 5}]}, 0),
            ({"images": 5, "content": 5}, 0),
        ],
    )
    def test_wherever_a_picture_stands_it_counts(self, message: Any, pictures: int) -> None:
        for kind in ("message", "delta"):
            choices = [{kind: message}, {kind: {"content": "x"}}]
            assert drawing.pictures(choices) == pictures
            assert drawing.may_have_pictures(orjson.dumps(choices)) >= bool(pictures)

    def test_nonsense_has_none(self) -> None:
        assert [drawing.pictures(one) for one in (None, [5], [{"message": 5}], {})] == [0] * 4

    def test_by_our_own_count_a_picture_isnt_its_base64(self) -> None:
        for text in ("data:image/png;base64," + "A" * 10**6, "![x](data:image/png;base64," + "A" * 10**6 + ")"):
            size = output_bytes({"choices": [{"message": {"content": text}}]})
            assert 0 <= size - 4 * TOKENS_PER_PICTURE < 10


prices = st.integers(0, 10**6)
meters = st.sampled_from(["input_tokens", "output_tokens", "output_image_tokens", "images", "requests"])


@given(
    st.dictionaries(
        st.tuples(meters, st.sampled_from([0, 100, 1_000]), st.sampled_from(["", "1K", "2K"])), prices, min_size=1
    ),
    st.sampled_from(["", "1K", "2K"]),
    st.integers(1, 3),
    st.integers(0, 1_500),
    st.integers(0, 100),
    st.integers(0, 100),
    st.integers(0, 20),
    st.lists(st.integers(0, 20_000), max_size=2),
)
def test_the_hold_covers_whatever_is_drawn(
    by_place: Any, size: str, n: int, tokens_in: int, text: int, image: int, made: int, multipliers: list[int]
) -> None:
    # A meter that a tier prices has a price below.
    valid = {(meter, 0, ""): amount for (meter, _, _), amount in by_place.items()} | by_place
    tariff = Tariff(1, [UnitPrice(meter, amount, 3, *place) for (meter, *place), amount in valid.items()])
    fields = google(image_size=size) if size else {}
    found, _ = asked(n=n, max_tokens=200, messages=[{"role": "user", "content": "x" * 1_500}], **fields)
    tokens = {"requests": 1, "input_tokens": tokens_in, "output_tokens": text * n, "output_image_tokens": image * n}
    used = drawing.charged(tokens, made, found, tariff)
    try:
        charged = charge(used, tariff, multipliers, found.counted.variant)
    except UnpricedError:
        # Quarantined: the hold stays until a person has looked.
        return
    assert charged <= found.hold_nanos(CHAT, PAINTER, Priced(tariff, multipliers))


def test_large_events_come_whole_and_quickly_in_small_pieces() -> None:
    event = b"data: " + b"A" * 8_000_000 + b"\n\n"
    reader = events.EventReader(events.LONGEST_PICTURE)
    found = [one for at in range(0, len(event), 65_536) for one in reader.feed(event[at : at + 65_536])]
    assert found == [event]
    # Cut between the two ends of lines.
    assert [*reader.feed(b"data: x\n"), *reader.feed(b"\ndata: y\n\n")] == [b"data: x\n\n", b"data: y\n\n"]
    with pytest.raises(events.GarbageError):
        list(events.EventReader().feed(event[:-2]))


PER_PICTURE = [UnitPrice("images", 40_000_000), UnitPrice("images", 80_000_000, variant="2K")]
MODELS: dict[str, Any] = {
    "per-picture": PER_PICTURE,
    "both": [*PER_PICTURE, UnitPrice("input_tokens", 1_000), UnitPrice("output_tokens", 10_000)],
    "per-token": [
        UnitPrice("input_tokens", 1_000),
        UnitPrice("output_tokens", 10_000),
        UnitPrice("output_image_tokens", 100_000),
    ],
}


class TestThroughTheGateway:
    @pytest.fixture
    def gateway(self, gateway: RunningGateway) -> RunningGateway:
        for name, unit_prices in MODELS.items():
            if not Model.objects.filter(public_id=name).exists():
                fields: dict[str, Any] = {"image_sizes": ["1K", "2K"], "most_images": 2, "max_output_tokens": 1_000}
                model = make_model(name, prices=unit_prices, families=["chat"], **fields)
                Route.objects.filter(model=model).update(upstream_model="demo-image")
        Model.objects.filter(public_id__in=MODELS).update(enabled=True)
        announce()
        return gateway

    def line(self, gateway: RunningGateway) -> tuple[dict[str, int], int]:
        (found,) = gateway.lines()
        assert gateway.held_nanos() == found["charge_nanos"]
        assert (found["outcome"], found.get("estimated", False)) == ("completed", False)
        return found["usage"], found["charge_nanos"]

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("model", "usage", "nanos"),
        [
            ("per-picture", {"requests": 1, "images": 2}, 160_000_000),
            (
                "both",
                {"requests": 1, "images": 2, "input_tokens": 2, "output_tokens": 4},
                160_042_000,
            ),
            (
                "per-token",
                {"requests": 1, "input_tokens": 2, "output_tokens": 4, "output_image_tokens": 200},
                20_042_000,
            ),
        ],
    )
    def test_what_has_a_price_is_charged(
        self, gateway: RunningGateway, model: str, usage: Any, nanos: int, stream: bool
    ) -> None:
        fields = {"stream": stream, **google(image_size="2K")}
        answer = gateway.chat("cat !pictures=2", model=model, **fields)
        assert answer.body.count(b"data:image/png;base64,") == 2
        assert self.line(gateway) == (usage, nanos)
        assert gateway.lines()[0]["variant"] == "2K"

    def test_the_official_sdk_gets_them(self, gateway: RunningGateway) -> None:
        client, cat = gateway.openai(), [{"role": "user", "content": "cat"}]
        made = client.chat.completions.create(
            model="per-picture",
            messages=cat,
            extra_body=google(image_size="2K"),  # type: ignore[arg-type]
        )
        (picture,) = made.choices[0].message.images  # type: ignore[attr-defined]
        assert picture["image_url"]["url"].startswith("data:image/png;base64,")
        assert self.line(gateway) == ({"requests": 1, "images": 1}, 80_000_000)
        streamed = client.chat.completions.create(model="per-picture", messages=cat, stream=True)  # type: ignore[arg-type]
        found = [one for part in streamed for one in getattr(part.choices[0].delta, "images", None) or []]
        assert [one["index"] for one in found] == [0]
        assert gateway.lines(2)[1]["charge_nanos"] == 40_000_000

    def test_text_alone_costs_no_picture(self, gateway: RunningGateway) -> None:
        assert gateway.chat("cat !pictures=0", model="per-picture").status == 200
        assert self.line(gateway) == ({"requests": 1, "images": 0}, 0)

    def test_more_than_a_model_makes_cost_what_it_makes(self, gateway: RunningGateway) -> None:
        assert gateway.chat("cat !pictures=5", model="per-picture").status == 200
        assert self.line(gateway) == ({"requests": 1, "images": 2}, 80_000_000)

    @pytest.mark.parametrize("stream", [False, True])
    def test_the_worst_case_is_held_before(self, gateway: RunningGateway, stream: bool) -> None:
        # $1 is there: 2 pictures of each of 6 answers are $0.96, of 7 they would be $1.12.
        body = {"model": "per-picture", "stream": stream, **google(image_size="2K")}
        assert gateway.chat(n=7, **body).error == (429, "insufficient_quota", "credit_balance_exhausted")
        assert gateway.chat(n=6, **body).status == 200
        assert self.line(gateway) == ({"requests": 1, "images": 6}, 480_000_000)

    def test_a_size_that_isnt_listed_holds_nothing(self, gateway: RunningGateway) -> None:
        answer = gateway.chat(model="per-picture", extra_body=google(image_size="4K"))
        assert (answer.error[0], answer.json["error"]["param"]) == (400, "extra_body.google.image_config.image_size")
        assert (gateway.held_nanos(), gateway.written()) == (0, 0)

    def test_a_streamed_picture_of_many_megabytes_comes_whole(self, gateway: RunningGateway, says: Says) -> None:
        url = "data:image/png;base64," + "A" * 6_000_000
        says(HEAD, _chunk({"images": [{"image_url": {"url": url}}]}), chunk(finish="stop"), chunk(usage=(3, 4)), DONE)
        answer = gateway.chat(model="per-picture", stream=True)
        assert url.encode() in answer.body
        assert self.line(gateway) == ({"requests": 1, "images": 1}, 40_000_000)

    def test_a_picture_in_a_stream_is_covered_in_full_or_not_given(self, gateway: RunningGateway, says: Says) -> None:
        """Nobody knows how many tokens it will be reported as."""
        Model.objects.filter(public_id="per-token").update(max_output_tokens=100_000)
        picture = _chunk({"images": [DATA]})
        said: list[Step] = [HEAD, chunk("here"), picture, chunk(finish="stop"), chunk(usage=(3, 50_000)), DONE]
        says(*said)
        answer = gateway.chat(model="per-token", stream=True)
        assert (b"hold_exhausted" in answer.body, b"base64" in answer.body) == (True, False)
        (line,) = gateway.lines()
        assert line["outcome"] == "hold_exhausted"
        assert gateway.held_nanos() == line["charge_nanos"]
        Model.objects.filter(public_id="per-token").update(max_output_tokens=1_000)

    def test_where_nobody_reports_a_picture_is_counted(self, gateway: RunningGateway, says: Says) -> None:
        says(whole(json.dumps({"choices": [{"message": {"content": "", "images": [DATA]}}]}).encode()))
        assert gateway.chat(model="both").status == 200
        (line,) = gateway.lines()
        assert (line["estimated"], line["usage"]["images"]) == (True, 1)
        assert line["usage"]["output_tokens"] == 1_000


def _chunk(delta: Any) -> bytes:
    event = {"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"
