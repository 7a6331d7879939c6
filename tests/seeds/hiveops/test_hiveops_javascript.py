"""HiveOps's reference with the official JavaScript SDK, which it names, with its base URL: that without `/v1`."""

from tests.cast import make_key, make_organization
from tests.seeds.conftest import RunJavaScript, Vendor
from tests.seeds.hiveops.test_hiveops import hiveops

__all__ = ["hiveops"]

ASK = """
const ask = (more) => new OpenAI({ maxRetries: 0 }).chat.completions.create({
  model: "llama3:8b-instruct-q8_0",
  messages: [{ role: "user", content: "Count to 5" }],
  ...more,
});
"""


def test_an_answer_and_its_rate_headers(hiveops: Vendor, javascript: RunJavaScript) -> None:
    program = """
    const { data, response } = await ask({ max_tokens: 2 }).withResponse();
    const named = ["limit", "remaining"].map((what) => response.headers.get(`x-ratelimit-${what}-requests`));
    tell([data.choices[0].message.content, data.choices[0].finish_reason, ...named]);
    """
    assert javascript(hiveops, ASK + program, base="") == ["You said:", "length", "60", "59"]
    assert hiveops.charged() == ({"requests": 1, "input_tokens": 3, "output_tokens": 2}, 3 * 10 + 2 * 20)


def test_a_stream(hiveops: Vendor, javascript: RunJavaScript) -> None:
    loop = """
    let said = "";
    for await (const chunk of await ask({ stream: true })) said += chunk.choices[0].delta.content ?? "";
    """
    assert javascript(hiveops, f"{ASK}{loop} tell(said);", base="") == "You said: Count to 5"
    assert hiveops.charged() == ({"requests": 1, "input_tokens": 3, "output_tokens": 5}, 3 * 10 + 5 * 20)


def test_no_balance(hiveops: Vendor, javascript: RunJavaScript) -> None:
    _, hiveops.secret = make_key(make_organization())
    caught = "try { await ask(); } catch (e) { tell([e.constructor.name, e.status, e.type, e.code, e.message]); }"
    name, *error, message = javascript(hiveops, ASK + caught, base="")
    assert (name, error) == ("PermissionDeniedError", [403, "insufficient_quota", "credit_balance_exhausted"])
    assert message.startswith("403 Your balance doesn't cover what this request may cost.")
    hiveops.uncharged()
