"""What Higain's API reference promises; agents come later."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.seeds.conftest import Vendor

LLAMA, EMBED = "llama-3.1-70b", "higain-embed-v1"
NAMASTE: Any = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Namaste! Help me write a Python function."},
]


@pytest.fixture
def higain(vendor: Callable[[str], Vendor]) -> Vendor:
    found = vendor("higain")
    found.sells({LLAMA: {"input_tokens": 10**9, "output_tokens": 2 * 10**9}})
    found.sells({EMBED: {"input_tokens": 10**8}}, families=("embeddings",))
    return found


def test_keys_begin_as_documented(higain: Vendor) -> None:
    assert higain.secret.startswith("hgn-sk-")


def test_chat_completions(higain: Vendor) -> None:
    answer = higain.client().chat.completions.create(model=LLAMA, messages=NAMASTE)
    assert answer.choices[0].message.content == "You said: Namaste! Help me write a Python function."
    assert higain.charged() == ({"requests": 1, "input_tokens": 12, "output_tokens": 9}, 12 * 1_000 + 9 * 2_000)


def test_streaming(higain: Vendor) -> None:
    stream = higain.client().chat.completions.create(model=LLAMA, messages=NAMASTE, stream=True)
    parts = [chunk.choices[0].delta.content for chunk in stream]
    assert "".join(part or "" for part in parts).startswith("You said: Namaste!")
    assert len(parts) > 3
    assert higain.charged() == ({"requests": 1, "input_tokens": 12, "output_tokens": 9}, 12 * 1_000 + 9 * 2_000)


def test_embeddings(higain: Vendor) -> None:
    answer = higain.client().embeddings.create(model=EMBED, input="Nepal is a landlocked country in South Asia.")
    assert len(answer.data[0].embedding) == 1_536
    assert higain.charged() == ({"requests": 1, "input_tokens": 8, "output_tokens": 0}, 8 * 100)


def test_models(higain: Vendor) -> None:
    listed = {model.id: model for model in higain.client().models.list()}
    assert {LLAMA, EMBED} <= set(listed)
    assert {(model.object, model.owned_by) for model in listed.values()} == {("model", "keymeter")}
    higain.uncharged()


def test_every_request_has_to_show_a_bearer_key(higain: Vendor) -> None:
    for headers in ({}, {"api-key": higain.secret}):
        answer = higain.gateway.request("GET", "/v1/models", secret="", headers=headers)
        assert answer.error == (401, "invalid_request_error", "invalid_api_key")
        assert "API key" in answer.json["error"]["message"]
        higain.uncharged()
