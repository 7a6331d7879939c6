"""What haimaker's API reference promises."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import (
    APIError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)

from catalog.models import Route
from hotstate.records import Limits
from tests.gateway.conftest import Says, announce
from tests.gateway.scripted import whole
from tests.seeds.conftest import Vendor

MODEL = "openai/gpt-4o"
HELLO: Any = [{"role": "user", "content": "Hello, how are you?"}]
# Family, and nano-dollars per 1M by meter.
SOLD = {
    "lab/chat": ("completions", {"input_tokens": 10**9, "output_tokens": 2 * 10**9}),
    "lab/embed": ("embeddings", {"input_tokens": 10**8}),
    "lab/image": ("images", {"images": 40 * 10**12}),
    "lab/transcription": ("transcriptions", {"seconds": 10**11}),
    "lab/speech": ("speech", {"characters": 15 * 10**9}),
    "lab/moderation": ("moderations", {"requests": 10**9}),
    "lab/rerank": ("rerank", {"search_units": 2 * 10**12}),
}
# As the reference shows it.
ANSWER = {
    "id": "chatcmpl-565d891b-a42e-4c39-8d14-82a1f5208885",
    "created": 1734366691,
    "model": "gpt-4o-2024-08-06",
    "object": "chat.completion",
    "choices": [
        {
            "finish_reason": "stop",
            "index": 0,
            "message": {"content": "Hello! I'm doing well, thank you for asking.", "role": "assistant"},
        }
    ],
    "usage": {"completion_tokens": 17, "prompt_tokens": 13, "total_tokens": 30},
}


@pytest.fixture
def haimaker(vendor: Callable[[str], Vendor]) -> Vendor:
    found = vendor("haimaker")
    found.sells({MODEL: {"input_tokens": 2_500_000_000, "output_tokens": 10_000_000_000}})
    return found


def test_the_first_request(haimaker: Vendor, says: Says) -> None:
    says(whole(json.dumps(ANSWER).encode()))
    answer = haimaker.client().chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.model_dump(exclude_unset=True) == ANSWER
    assert haimaker.charged() == ({"requests": 1, "input_tokens": 13, "output_tokens": 17}, 13 * 2_500 + 17 * 10_000)


def test_the_upstream_is_asked_for_its_own_name(haimaker: Vendor) -> None:
    answer = haimaker.client().chat.completions.create(model=MODEL, messages=HELLO)
    assert haimaker.sent()["model"] == "demo-chat"
    assert answer.choices[0].message.content == "You said: Hello, how are you?"
    assert haimaker.charged() == ({"requests": 1, "input_tokens": 4, "output_tokens": 6}, 4 * 2_500 + 6 * 10_000)


def test_streaming(haimaker: Vendor) -> None:
    stream = haimaker.client().chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Write a haiku about coding"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "You said: Write a haiku about coding"
    assert haimaker.charged() == ({"requests": 1, "input_tokens": 5, "output_tokens": 7}, 5 * 2_500 + 7 * 10_000)


def test_the_list_names_the_provider(haimaker: Vendor) -> None:
    assert MODEL in {model.id for model in haimaker.client().models.list()}
    assert haimaker.client().models.retrieve(MODEL).id == MODEL
    haimaker.uncharged()


class TestAvailableEndpoints:
    """Each of the table, beside chat completions, with what it counts and costs."""

    @pytest.fixture(autouse=True)
    def _models(self, haimaker: Vendor) -> None:
        for name, (family, prices) in SOLD.items():
            haimaker.sells({name: prices}, families=(family,))
            Route.objects.filter(model__public_id=name).update(upstream_model=f"demo-{name.partition('/')[2]}")
        announce()

    def test_completions(self, haimaker: Vendor) -> None:
        answer = haimaker.client().completions.create(model="lab/chat", prompt="Once upon a time", max_tokens=50)
        assert (answer.object, answer.choices[0].text) == ("text_completion", "You said: Once upon a time")
        assert haimaker.charged() == ({"requests": 1, "input_tokens": 4, "output_tokens": 6}, 4 * 1_000 + 6 * 2_000)

    def test_embeddings(self, haimaker: Vendor) -> None:
        answer = haimaker.client().embeddings.create(model="lab/embed", input=["one text", "another"])
        assert [one.index for one in answer.data] == [0, 1]
        assert haimaker.charged() == ({"requests": 1, "input_tokens": 3, "output_tokens": 0}, 3 * 100)

    def test_images(self, haimaker: Vendor) -> None:
        answer = haimaker.client().images.generate(model="lab/image", prompt="a cat")
        assert len(answer.data or []) == 1
        assert haimaker.charged() == ({"requests": 1, "images": 1}, 40_000_000)

    def test_transcriptions(self, haimaker: Vendor) -> None:
        said = ("said.mp3", io.BytesIO(b"twenty-five bytes of talk"))
        assert haimaker.client().audio.transcriptions.create(model="lab/transcription", file=said).text
        assert haimaker.charged() == ({"requests": 1, "seconds": 3}, 3 * 100_000)

    def test_speech(self, haimaker: Vendor) -> None:
        speech = haimaker.client().audio.speech.create(model="lab/speech", voice="alloy", input="Hello")
        assert speech.read() == b"sssss"
        assert haimaker.charged() == ({"requests": 1, "characters": 5}, 5 * 15_000)

    def test_moderations(self, haimaker: Vendor) -> None:
        answer = haimaker.client().moderations.create(model="lab/moderation", input=["good", "bad"])
        assert [one.flagged for one in answer.results] == [False, True]
        assert haimaker.charged() == ({"requests": 1}, 1_000)

    def test_rerank(self, haimaker: Vendor) -> None:
        body = {"model": "lab/rerank", "query": "capital", "documents": ["Berlin", "the capital"]}
        answer = haimaker.gateway.post("/v1/rerank", body, secret=haimaker.secret)
        assert [one["index"] for one in answer.json["results"]] == [1, 0]
        assert haimaker.charged() == ({"requests": 1, "search_units": 1}, 2_000_000)


class TestExceptionMapping:
    def error(self, haimaker: Vendor, kind: type[APIStatusError], **fields: Any) -> tuple[str | None, str | None, str]:
        """Type, code and message; each error has its request id."""
        with pytest.raises(APIError) as caught:
            haimaker.client().chat.completions.create(**{"model": MODEL, "messages": HELLO, **fields})
        error = caught.value
        assert isinstance(error, kind)
        assert isinstance(error.body, dict)
        assert set(error.body) == {"message", "type", "param", "code"}
        assert error.response.headers["x-request-id"]
        return error.type, error.code, error.body["message"]

    def test_a_wrong_key(self, haimaker: Vendor) -> None:
        haimaker.secret = "YOUR_API_KEY"
        type_, code, message = self.error(haimaker, AuthenticationError)
        assert (type_, code) == ("invalid_request_error", "invalid_api_key")
        assert message.startswith("Incorrect API key provided")
        assert "YOUR_API_KEY" not in message
        haimaker.uncharged()

    def test_too_many(self, haimaker: Vendor) -> None:
        haimaker.has_key(limits=Limits(requests_per_minute=1))
        haimaker.client().chat.completions.create(model=MODEL, messages=HELLO)
        type_, code, message = self.error(haimaker, RateLimitError)
        assert (type_, code) == ("requests", "rate_limit_exceeded")
        assert "key.requests_per_minute" in message
        assert haimaker.charged() == ({"requests": 1, "input_tokens": 4, "output_tokens": 6}, 4 * 2_500 + 6 * 10_000)

    def test_a_bad_request(self, haimaker: Vendor) -> None:
        type_, code, message = self.error(haimaker, BadRequestError, max_tokens=-1)
        assert (type_, code) == ("invalid_request_error", None)
        assert "max_tokens" in message
        haimaker.uncharged()

    def test_a_model_that_there_isnt(self, haimaker: Vendor) -> None:
        type_, code, message = self.error(haimaker, NotFoundError, model="openai/none")
        assert (type_, code) == ("invalid_request_error", "model_not_found")
        assert "openai/none" in message
        haimaker.uncharged()

    def test_a_model_that_fails(self, haimaker: Vendor) -> None:
        failing: Any = [{"role": "user", "content": "!status=500"}]
        type_, code, message = self.error(haimaker, InternalServerError, messages=failing)
        assert (type_, code) == ("server_error", "bad_gateway")
        assert message
        haimaker.uncharged(lines=1)
