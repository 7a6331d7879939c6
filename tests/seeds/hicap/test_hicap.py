"""What Hicap's API reference promises; realtime comes later."""

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from billing.tariff import UnitPrice
from catalog.models import Model
from hotstate.records import Limits
from tests.cast import make_model
from tests.gateway.conftest import announce
from tests.seeds.conftest import RATE_HEADERS, Vendor, rate_headers

MODEL = "gpt-5"
KINDS = ("requests", "tokens")
HELLO: Any = [{"role": "user", "content": "Hello, world"}]


@pytest.fixture
def hicap(vendor: Callable[[str], Vendor]) -> Vendor:
    found = vendor("hicap")
    found.sells({MODEL: {"input_tokens": 10**9, "output_tokens": 10**10}})
    if not Model.objects.filter(public_id="demo-image").exists():
        make_model("demo-image", prices=[UnitPrice("images", 40_000_000)], families=["images"])
    Model.objects.filter(public_id="demo-image").update(enabled=True)
    announce()
    # Rate headers tell of limits: a plan without any has none.
    found.has_key(limits=Limits(requests_per_minute=60, tokens_per_minute=1_000))
    return found


@pytest.mark.parametrize("header", ["Authorization", "api-key"])
def test_the_example_with_either_header(hicap: Vendor, header: str) -> None:
    shown = {header: f"Bearer {hicap.secret}" if header == "Authorization" else hicap.secret}
    body = {"model": MODEL, "messages": HELLO}
    answer = hicap.gateway.post("/v1/chat/completions", body, secret="", headers=shown)
    assert answer.json["choices"][0]["message"]["content"] == "You said: Hello, world"
    assert answer.headers["x-request-id"]
    assert hicap.charged() == ({"requests": 1, "input_tokens": 2, "output_tokens": 4}, 2 * 1_000 + 4 * 10_000)


def test_a_stream_ends_with_the_sentinel(hicap: Vendor) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Write a haiku"}], "stream": True}
    answer = hicap.gateway.post("/v1/chat/completions", body, secret=hicap.secret)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.endswith(b"data: [DONE]\n\n")
    events = [json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: {")]
    assert {len(event["choices"]) for event in events} == {1}
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == "You said: Write a haiku"
    assert hicap.charged() == ({"requests": 1, "input_tokens": 3, "output_tokens": 5}, 3 * 1_000 + 5 * 10_000)


def test_images_are_looked_at(hicap: Vendor) -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    hicap.client().chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])  # type: ignore[list-item,misc]
    assert hicap.sent()["messages"][0]["content"] == content
    assert hicap.charged() == ({"requests": 1, "input_tokens": 3, "output_tokens": 5}, 3 * 1_000 + 5 * 10_000)


class TestStored:
    def test_a_stored_completion_is_retrieved(self, hicap: Vendor) -> None:
        client = hicap.client()
        made = client.chat.completions.create(model=MODEL, messages=HELLO, store=True)
        assert client.chat.completions.retrieve(made.id).choices == made.choices
        assert hicap.charged() == ({"requests": 1, "input_tokens": 2, "output_tokens": 4}, 2 * 1_000 + 4 * 10_000)

    def test_its_messages_are_listed(self, hicap: Vendor) -> None:
        client = hicap.client()
        made = client.chat.completions.create(model=MODEL, messages=HELLO, store=True)
        listed = client.chat.completions.messages.with_raw_response.list(made.id)
        assert [message.content for message in listed.parse()] == ["Hello, world"]
        assert rate_headers(listed.headers) == RATE_HEADERS
        # Its making alone is charged: to list costs nothing.
        assert hicap.charged() == ({"requests": 1, "input_tokens": 2, "output_tokens": 4}, 2 * 1_000 + 4 * 10_000)
        assert listed.headers["x-request-id"] != hicap.gateway.lines()[0]["id"]

    def test_what_is_not_there_is_a_not_found_error(self, hicap: Vendor) -> None:
        answer = hicap.gateway.request("GET", "/v1/chat/completions/none", secret=hicap.secret)
        assert answer.error == (404, "not_found_error", "not_found")
        assert rate_headers(answer.headers) == RATE_HEADERS
        hicap.uncharged()


class TestResponses:
    def test_one_in_the_background_is_cancelled(self, hicap: Vendor) -> None:
        hicap.sells({"gpt-5-answers": {"input_tokens": 10**9, "output_tokens": 10**10}}, families=("responses",))
        hicap.has_key(scopes=["responses"])
        hicap.opens("responses")
        client = hicap.client()
        made = client.responses.create(model="gpt-5-answers", input="Hello !looks=999999", background=True)
        assert made.status == "queued"
        assert client.responses.cancel(made.id).status == "cancelled"
        # What was sent, by our count: five tokens of 20 bytes and their quotes come to six.
        assert hicap.charged() == ({"requests": 1, "input_tokens": 6, "output_tokens": 0}, 6 * 1_000)

    def test_a_response_is_created_retrieved_listed_and_deleted(self, hicap: Vendor) -> None:
        hicap.sells({"gpt-5-answers": {"input_tokens": 10**9, "output_tokens": 10**10}}, families=("responses",))
        hicap.has_key(scopes=["responses"])
        hicap.opens("responses")
        client = hicap.client()
        made = client.responses.create(model="gpt-5-answers", input="Hello, world")
        assert made.output_text == "You said: Hello, world"
        assert client.responses.retrieve(made.id).output == made.output
        assert [item.id for item in client.responses.input_items.list(made.id)] == [f"in-{made.id}-0"]
        client.responses.delete(made.id)
        gone = hicap.gateway.request("GET", f"/v1/responses/{made.id}", secret=hicap.secret)
        assert gone.error == (404, "not_found_error", "not_found")
        assert hicap.charged() == ({"requests": 1, "input_tokens": 2, "output_tokens": 4}, 2 * 1_000 + 4 * 10_000)


class TestDeveloperPreview:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/v1/responses"),
            ("GET", "/v1/responses/resp_1"),
            ("DELETE", "/v1/responses/resp_1"),
            ("POST", "/v1/responses/resp_1/cancel"),
            ("GET", "/v1/responses/resp_1/input_items"),
        ],
    )
    def test_isnt_there_until_the_support_opens_it(self, hicap: Vendor, method: str, path: str) -> None:
        answer = hicap.gateway.request(method, path, b"{}", secret=hicap.secret)
        assert answer.error == (404, "not_found_error", "unknown_url")
        hicap.opens("responses")
        answer = hicap.gateway.request(method, path, b"{}", secret=hicap.secret)
        # There now, and closed to a key that has no scope for it.
        assert answer.error == (403, "permission_error", "missing_scope")
        hicap.uncharged()


class TestImages:
    def test_generations(self, hicap: Vendor) -> None:
        made = hicap.client().images.generate(model="demo-image", prompt="a cat", n=2)
        assert len(made.data or []) == 2
        assert hicap.charged() == ({"requests": 1, "images": 2}, 80_000_000)

    def test_edits(self, hicap: Vendor) -> None:
        made = hicap.client().images.edit(model="demo-image", image=("a.png", io.BytesIO(b"x")), prompt="greyer")
        assert len(made.data or []) == 1
        assert hicap.sent()["prompt"] == "greyer"
        assert hicap.charged() == ({"requests": 1, "images": 1}, 40_000_000)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_variations(self, hicap: Vendor) -> None:
        made = hicap.client().images.create_variation(model="demo-image", image=("a.png", io.BytesIO(b"x")))
        assert len(made.data or []) == 1
        assert hicap.charged() == ({"requests": 1, "images": 1}, 40_000_000)


def test_the_six_rate_headers(hicap: Vendor) -> None:
    answer = hicap.gateway.request("GET", "/v1/models", secret=hicap.secret)
    assert rate_headers(answer.headers) == RATE_HEADERS
    answer = hicap.gateway.post("/v1/chat/completions", {"model": MODEL, "messages": HELLO}, secret=hicap.secret)
    limit, left = ([answer.headers[f"x-ratelimit-{what}-{kind}"] for kind in KINDS] for what in ("limit", "remaining"))
    assert (limit, left[0]) == (["60", "1000"], "59")
    assert 0 < int(left[1]) < 1_000
    assert re.fullmatch(r"[0-9.]+m?s", answer.headers["x-ratelimit-reset-requests"])
    assert re.fullmatch(r"[0-9.]+m?s", answer.headers["x-ratelimit-reset-tokens"])
    assert answer.json["choices"][0]["message"]["content"] == "You said: Hello, world"
    assert hicap.charged() == ({"requests": 1, "input_tokens": 2, "output_tokens": 4}, 2 * 1_000 + 4 * 10_000)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("!status=400", (400, "invalid_request_error", None)),
        ("!status=503", (503, "overloaded_error", "model_unavailable")),
        ("!status=500", (502, "api_error", "bad_gateway")),
    ],
)
def test_errors_of_the_model(hicap: Vendor, content: str, error: tuple[int, str, str]) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
    answer = hicap.gateway.post("/v1/chat/completions", body, secret=hicap.secret)
    assert answer.error == error
    assert rate_headers(answer.headers) == RATE_HEADERS
    assert answer.headers["x-ratelimit-remaining-requests"] == "59"
    # What was admitted has a line, which costs nothing.
    hicap.uncharged(lines=1)


class TestErrorsOfTheRequest:
    PATH, BODY = "/v1/chat/completions", {"model": MODEL, "messages": HELLO}

    def test_a_wrong_key(self, hicap: Vendor) -> None:
        answer = hicap.gateway.post(self.PATH, self.BODY, secret="wrong")
        assert answer.error == (401, "authentication_error", "invalid_api_key")
        assert answer.json["error"]["message"].startswith("Incorrect API key provided")
        hicap.uncharged()

    def test_a_body_that_is_none(self, hicap: Vendor) -> None:
        answer = hicap.gateway.post(self.PATH, b"{", secret=hicap.secret)
        assert answer.error == (400, "invalid_request_error", None)
        assert rate_headers(answer.headers) == RATE_HEADERS
        hicap.uncharged()

    def test_what_is_missing_is_named(self, hicap: Vendor) -> None:
        answer = hicap.gateway.post(self.PATH, {"messages": HELLO}, secret=hicap.secret)
        assert answer.error == (400, "invalid_request_error", None)
        assert "model" in answer.json["error"]["message"]
        assert rate_headers(answer.headers) == RATE_HEADERS
        hicap.uncharged()

    def test_a_path_that_there_isnt(self, hicap: Vendor) -> None:
        answer = hicap.gateway.post("/v1/none", self.BODY, secret=hicap.secret)
        assert answer.error == (404, "not_found_error", "unknown_url")
        hicap.uncharged()

    def test_a_key_that_lacks_permissions(self, hicap: Vendor) -> None:
        narrow = hicap.has_key(scopes=["models"])
        answer = hicap.gateway.post(self.PATH, self.BODY, secret=narrow)
        assert answer.error == (403, "permission_error", "missing_scope")
        assert answer.json["error"]["message"] == "This API key lacks the scope for this: chat."
        hicap.uncharged()

    def test_too_many(self, hicap: Vendor) -> None:
        slow = hicap.has_key(limits=Limits(requests_per_minute=1, tokens_per_minute=1_000))
        first, refused = (hicap.gateway.post(self.PATH, self.BODY, secret=slow) for _ in range(2))
        assert first.json["choices"][0]["message"]["content"] == "You said: Hello, world"
        assert refused.error == (429, "rate_limit_error", "rate_limit_exceeded")
        assert "key.requests_per_minute" in refused.json["error"]["message"]
        assert rate_headers(refused.headers) == RATE_HEADERS
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert int(refused.headers["retry-after"]) > 0
        assert hicap.charged() == ({"requests": 1, "input_tokens": 2, "output_tokens": 4}, 2 * 1_000 + 4 * 10_000)
