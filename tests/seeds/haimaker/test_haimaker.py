"""What haimaker's API reference promises."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import APIError, AuthenticationError, BadRequestError, NotFoundError, RateLimitError

from hotstate.records import Limits
from tests.gateway.conftest import Says
from tests.gateway.scripted import whole
from tests.seeds.conftest import Vendor

MODEL = "openai/gpt-4o"
HELLO: Any = [{"role": "user", "content": "Hello, how are you?"}]
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
    haimaker.client().chat.completions.create(model=MODEL, messages=HELLO)
    assert haimaker.sent()["model"] == "demo-chat"


def test_streaming(haimaker: Vendor) -> None:
    stream = haimaker.client().chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Write a haiku about coding"}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "You said: Write a haiku about coding"


def test_the_list_names_the_provider(haimaker: Vendor) -> None:
    assert MODEL in {model.id for model in haimaker.client().models.list()}
    assert haimaker.client().models.retrieve(MODEL).id == MODEL


class TestExceptionMapping:
    def error(self, haimaker: Vendor, **fields: Any) -> APIError:
        with pytest.raises(APIError) as caught:
            haimaker.client().chat.completions.create(**{"model": MODEL, "messages": HELLO, **fields})
        return caught.value

    def test_a_wrong_key(self, haimaker: Vendor) -> None:
        haimaker.secret = "YOUR_API_KEY"
        assert isinstance(self.error(haimaker), AuthenticationError)

    def test_too_many(self, haimaker: Vendor) -> None:
        haimaker.has_key(limits=Limits(requests_per_minute=1))
        haimaker.client().chat.completions.create(model=MODEL, messages=HELLO)
        assert isinstance(self.error(haimaker), RateLimitError)

    def test_a_bad_request(self, haimaker: Vendor) -> None:
        assert isinstance(self.error(haimaker, max_tokens=-1), BadRequestError)

    def test_a_model_that_there_isnt(self, haimaker: Vendor) -> None:
        assert isinstance(self.error(haimaker, model="openai/none"), NotFoundError)
