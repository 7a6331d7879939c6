"""Hicap's reference with the official JavaScript SDK, which it names: an answer, a stream, errors by their types."""

from hotstate.records import Limits
from tests.seeds.conftest import RunJavaScript, Vendor
from tests.seeds.hicap.test_hicap import hicap

__all__ = ["hicap"]

ASK = """
const ask = () => new OpenAI({ maxRetries: 0 }).chat.completions.create({
  model: "gpt-5",
  messages: [{ role: "user", content: "Write a haiku" }],
  stream: STREAM,
});
"""
WHOLE, STREAM = ASK.replace("STREAM", "false"), ASK.replace("STREAM", "true")
CHARGED = ({"requests": 1, "input_tokens": 3, "output_tokens": 5}, 3 * 1_000 + 5 * 10_000)


def test_an_answer_has_its_request_id(hicap: Vendor, javascript: RunJavaScript) -> None:
    found = javascript(hicap, WHOLE + "const a = await ask(); tell([a.choices[0].message.content, a._request_id]);")
    assert found[0] == "You said: Write a haiku"
    assert found[1] == hicap.gateway.lines()[0]["id"]
    assert hicap.charged() == CHARGED


def test_a_stream(hicap: Vendor, javascript: RunJavaScript) -> None:
    loop = "let said = ''; for await (const one of await ask()) said += one.choices[0].delta.content ?? '';"
    assert javascript(hicap, f"{STREAM}{loop} tell(said);") == "You said: Write a haiku"
    assert hicap.charged() == CHARGED


def test_a_rate_that_is_exceeded(hicap: Vendor, javascript: RunJavaScript) -> None:
    hicap.has_key(limits=Limits(requests_per_minute=1))
    told = 'e.constructor.name, e.status, e.type, e.code, e.headers.get("x-ratelimit-remaining-requests")'
    caught = f"await ask(); try {{ await ask(); }} catch (e) {{ tell([{told}]); }}"
    error = ["RateLimitError", 429, "rate_limit_error", "rate_limit_exceeded", "0"]
    assert javascript(hicap, WHOLE + caught) == error
    assert hicap.charged() == CHARGED


def test_a_key_that_lacks_permissions(hicap: Vendor, javascript: RunJavaScript) -> None:
    hicap.has_key(scopes=["models"])
    caught = "try { await ask(); } catch (e) { tell([e.constructor.name, e.status, e.type, e.code, e.message]); }"
    name, *error, message = javascript(hicap, WHOLE + caught)
    assert (name, error) == ("PermissionDeniedError", [403, "permission_error", "missing_scope"])
    assert message == "403 This API key lacks the scope for this: chat."
    hicap.uncharged()
