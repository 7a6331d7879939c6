"""What a model doesn't have is refused with what it has, before anything is held or asked; what fits never is."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.tariff import UnitPrice
from catalog.models import Model
from gateway.asking import model_limits
from gateway.asking.asked import read
from gateway.asking.endpoints import BY_NAME, CHAT, COMPLETIONS, Endpoint
from gateway.errors import ApiError
from tests.cast import make_key, make_model
from tests.gateway.conftest import RunningGateway, announce
from tests.gateway.test_asked import MODEL

SMALL = replace(MODEL, context_window=100, max_output_tokens=100)
PICTURES = replace(MODEL, aspect_ratios=("1:1", "16:9"), image_sizes=("1K", "2K"), most_images=4)
IMAGES = BY_NAME["images.generations"]


def said(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def trouble(endpoint: Endpoint = CHAT, model: Any = SMALL, **fields: Any) -> ApiError | None:
    return model_limits.taken(read(orjson.dumps({"model": "m", **fields}), endpoint), endpoint, model)[1]


class TestTheContextWindow:
    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"messages": said("x"), "max_tokens": 100}, "max_tokens"),
            ({"messages": said("x" * 128 * 50), "max_completion_tokens": 51}, "max_completion_tokens"),
            ({"messages": said("x" * 128 * 100)}, "messages"),
            ({"messages": said([{"type": "text", "text": "é" * 64 * 100}])}, "messages"),
        ],
    )
    def test_what_fits_by_no_count_is_refused(self, fields: Any, param: str) -> None:
        error = trouble(**fields)
        assert error
        assert (error.status, error.param, error.code) == (400, param, "context_length_exceeded")
        assert "100 tokens" in error.message

    @pytest.mark.parametrize(
        "fields",
        [
            {"messages": said(""), "max_tokens": 100},
            {"messages": said("x" * 128 * 50), "max_tokens": 50},
            # What isn't text: nobody knows how many tokens it is.
            {"messages": said([{"type": "image_url", "image_url": {"url": "data:" + "x" * 100_000}}])},
            {"messages": said([{"type": "input_audio", "input_audio": {"data": "x" * 100_000}}])},
            {"messages": [{"role": "user", "content": "x", "ignored": "y" * 100_000}]},
            {"messages": said({"strange": "x" * 100_000})},
            {"messages": said("x" * 100_000), "truncate_prompt_tokens": 10},
        ],
    )
    def test_what_may_fit_goes_on(self, fields: Any) -> None:
        assert trouble(**fields) is None

    def test_prompts_are_read_one_by_one(self) -> None:
        assert trouble(COMPLETIONS, prompt=["x" * 128 * 50] * 8, max_tokens=50) is None
        error = trouble(COMPLETIONS, prompt=["x", "x" * 128 * 99], max_tokens=2)
        assert error
        assert error.param == "max_tokens"
        assert trouble(COMPLETIONS, prompt=[[1, 2], [3]], max_tokens=100) is None

    @given(
        st.lists(st.text(max_size=30), min_size=1, max_size=4),
        st.integers(0, 20_000),
        st.integers(1, 100),
        st.integers(1, 128),
    )
    def test_nothing_that_fits_is_refused(self, texts: Any, spaces: int, output: int, bytes_a_token: int) -> None:
        """By whichever vocabulary whose tokens have at most so many bytes."""
        contents = [*texts, " " * spaces]
        tokens = sum(-(-len(one.encode()) // bytes_a_token) for one in contents)
        refused = trouble(messages=[{"role": "user", "content": one} for one in contents], max_tokens=output)
        assert not (tokens + output <= SMALL.context_window and refused)


class TestParameters:
    @pytest.mark.parametrize("fields", [{}, {"n": 4}, {"size": "1K", "aspect_ratio": "16:9"}, {"size": "auto"}])
    def test_what_is_listed_is_allowed(self, fields: Any) -> None:
        assert trouble(IMAGES, PICTURES, prompt="a", **fields) is None

    @pytest.mark.parametrize(
        ("fields", "param", "allowed"),
        [
            ({"n": 5}, "n", "1 to 4"),
            ({"size": "4K"}, "size", "1K, 2K"),
            ({"aspect_ratio": "2:1"}, "aspect_ratio", "1:1, 16:9"),
            ({"aspect_ratio": 5}, "aspect_ratio", "1:1, 16:9"),
        ],
    )
    def test_what_isnt_is_told_what_is(self, fields: Any, param: str, allowed: str) -> None:
        error = trouble(IMAGES, PICTURES, prompt="a", **fields)
        assert error
        assert (error.status, error.param) == (400, param)
        assert allowed in error.message

    def test_without_a_list_anything_is(self) -> None:
        assert trouble(IMAGES, MODEL, prompt="a", size="7x7", aspect_ratio="7:1", n=10) is None

    def test_most_output_is_named_as_it_was_asked_for(self) -> None:
        error = trouble(max_completion_tokens=101)
        assert error
        assert (error.param, "at most 100 output tokens" in error.message) == ("max_completion_tokens", True)


class TestThroughTheGateway:
    @pytest.fixture
    def gateway(self, gateway: RunningGateway) -> RunningGateway:
        if not Model.objects.filter(public_id="drawn").exists():
            fields = {"aspect_ratios": ["1:1"], "image_sizes": ["1024x1024"], "most_images": 2}
            make_model("drawn", prices=[UnitPrice("images", 1)], families=["images"], **fields)
        Model.objects.filter(public_id="drawn").update(enabled=True)
        announce()
        assert gateway.organization
        gateway.key, gateway.secret = make_key(gateway.organization, scopes=["images", "chat", "models"])
        return gateway

    @pytest.mark.parametrize("fields", [{"n": 3}, {"size": "512x512"}, {"aspect_ratio": "16:9"}])
    def test_nothing_is_held_or_logged(self, gateway: RunningGateway, fields: Any) -> None:
        answer = gateway.post("/v1/images/generations", {"model": "drawn", "prompt": "cat", **fields})
        assert answer.error[0] == 400
        assert answer.json["error"]["param"] in fields
        assert (gateway.held_nanos(), gateway.open_holds(), gateway.written()) == (0, 0, 0)

    def test_what_is_allowed_is_asked(self, gateway: RunningGateway) -> None:
        fields = {"n": 2, "size": "1024x1024", "aspect_ratio": "1:1"}
        assert gateway.post("/v1/images/generations", {"model": "drawn", "prompt": "cat", **fields}).status == 200
        assert gateway.lines()[0]["usage"] == {"requests": 1, "images": 2}

    def test_the_list_tells_what_is_allowed(self, gateway: RunningGateway) -> None:
        found = gateway.request("GET", "/v1/models/drawn").json
        assert (found["aspect_ratios"], found["image_sizes"]) == (["1:1"], ["1024x1024"])
        assert "image_sizes" not in gateway.request("GET", "/v1/models/demo-chat").json

    def test_a_change_is_seen(self, gateway: RunningGateway) -> None:
        Model.objects.filter(public_id="drawn").update(image_sizes=["512x512"])
        announce()
        body = {"model": "drawn", "prompt": "cat", "size": "512x512"}
        assert gateway.post("/v1/images/generations", body).status == 200
        Model.objects.filter(public_id="drawn").update(image_sizes=["1024x1024"])
