"""What HiAPI's API reference promises; pictures out of chat come later."""

from collections.abc import Callable

import pytest

from tests.seeds.conftest import Vendor

MODEL = "Nano-Banana-Pro"
CAT = {"model": MODEL, "stream": False, "messages": [{"role": "user", "content": "Draw a cute cat"}]}


@pytest.fixture
def hiapi(vendor: Callable[[str], Vendor]) -> Vendor:
    found = vendor("hiapi")
    found.sells({MODEL: {"input_tokens": 10**9, "output_tokens": 10**10}})
    return found


def test_the_quick_start(hiapi: Vendor) -> None:
    answer = hiapi.gateway.post("/v1/chat/completions", CAT, secret=hiapi.secret)
    assert answer.json["choices"][0]["message"]["content"] == "You said: Draw a cute cat"
    assert hiapi.charged() == ({"requests": 1, "input_tokens": 4, "output_tokens": 6}, 4 * 1_000 + 6 * 10_000)


def test_the_documented_error(hiapi: Vendor) -> None:
    answer = hiapi.gateway.post("/v1/chat/completions", CAT, secret="YOUR_API_KEY")
    assert answer.error == (401, "new_api_error", "")


def test_insufficient_permissions_are_403(hiapi: Vendor) -> None:
    narrow = hiapi.has_key(scopes=["models"])
    assert hiapi.gateway.post("/v1/chat/completions", CAT, secret=narrow).error == (403, "new_api_error", "")


def test_a_bad_request_is_400(hiapi: Vendor) -> None:
    assert hiapi.gateway.post("/v1/chat/completions", {**CAT, "model": 5}, secret=hiapi.secret).error[0] == 400
