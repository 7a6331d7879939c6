"""Higain's reference with the official JavaScript SDK: the TypeScript example, and the others in that language."""

import pytest

from tests.seeds.conftest import RunJavaScript, Vendor
from tests.seeds.higain.test_higain import EMBED, LLAMA, higain

__all__ = ["higain"]

# As the reference shows it, but for the package: Higain's own is OpenAI's by another name. It has no types to strip.
EXAMPLE = """
import Higain from 'openai';
const client = new Higain();
const msg = await client.chat.completions.create({
model: 'llama-3.1-70b',
messages: [{ role: 'user', content: 'Hello!' }],
});
"""
STREAM = """
const stream = await new OpenAI().chat.completions.create({
  model: "llama-3.1-70b",
  messages: [{ role: "user", content: "Hello there!" }],
  stream: true,
});
const parts = [];
for await (const chunk of stream) parts.push([chunk.choices.length, chunk.choices[0].delta.content ?? ""]);
tell(parts);
"""
ERROR = """
try {
  await new OpenAI({ maxRetries: 0 }).chat.completions.create({
    model: "MODEL", messages: [{ role: "user", content: "Hello!" }], max_tokens: MOST,
  });
} catch (error) {
  const { status, type, code, param, requestID } = error;
  tell({ name: error.constructor.name, status, type, code, param, hasId: Boolean(requestID) });
}
"""


def test_the_typescript_example(higain: Vendor, javascript: RunJavaScript) -> None:
    msg = javascript(higain, EXAMPLE + "tell(msg);")
    assert msg["object"] == "chat.completion"
    assert msg["model"] == LLAMA
    assert msg["choices"][0]["message"] == {"role": "assistant", "content": "You said: Hello!"}
    assert msg["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    assert higain.sent()["messages"] == [{"role": "user", "content": "Hello!"}]
    assert higain.charged() == ({"requests": 1, "input_tokens": 1, "output_tokens": 3}, 1 * 1_000 + 3 * 2_000)


def test_a_stream_has_one_choice_in_each_chunk_and_is_charged_alike(higain: Vendor, javascript: RunJavaScript) -> None:
    parts = javascript(higain, STREAM)
    assert {choices for choices, _ in parts} == {1}
    assert "".join(text for _, text in parts) == "You said: Hello there!"
    assert higain.charged() == ({"requests": 1, "input_tokens": 2, "output_tokens": 4}, 2 * 1_000 + 4 * 2_000)


def test_embeddings_have_1536_numbers(higain: Vendor, javascript: RunJavaScript) -> None:
    text = "Nepal is a landlocked country in South Asia."
    program = f"const made = await new OpenAI().embeddings.create({{ model: '{EMBED}', input: '{text}' }});"
    found = javascript(higain, program + "tell([made.data[0].embedding.length, typeof made.data[0].embedding[0]]);")
    assert found == [1_536, "number"]
    assert higain.charged() == ({"requests": 1, "input_tokens": 8, "output_tokens": 0}, 8 * 100)


def test_models(higain: Vendor, javascript: RunJavaScript) -> None:
    program = (
        "const found = []; for await (const model of new OpenAI().models.list()) found.push(model.id); tell(found);"
    )
    assert {LLAMA, EMBED} <= set(javascript(higain, program))
    higain.uncharged()


@pytest.mark.parametrize(
    ("model", "most", "raised"),
    [
        (LLAMA, "1", {"name": "AuthenticationError", "status": 401, "code": "invalid_api_key", "param": None}),
        ("none", "1", {"name": "NotFoundError", "status": 404, "code": "model_not_found", "param": "model"}),
        (LLAMA, "-1", {"name": "BadRequestError", "status": 400, "code": None, "param": "max_tokens"}),
    ],
)
def test_errors_are_the_sdks_own(
    higain: Vendor, javascript: RunJavaScript, model: str, most: str, raised: dict[str, object]
) -> None:
    if raised["status"] == 401:
        higain.secret = "hgn-sk-nobodys"
    found = javascript(higain, ERROR.replace("MODEL", model).replace("MOST", most))
    assert found == {**raised, "type": "invalid_request_error", "hasId": True}
    higain.uncharged()
