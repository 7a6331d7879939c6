"""Responses: whole and streamed, gone on from, had again by whose they are, and charged by their last report."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from billing.tariff import UnitPrice
from catalog.models import Model, Route
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization
from tests.gateway import scripted
from tests.gateway.conftest import RunningGateway, Says, announce
from tests.gateway.scripted import HEAD, whole
from tests.gateway.serving import Answer

MODEL = "demo-answers"
# Nano-dollars a token.
INPUT, OUTPUT, WINDOW, MOST = 1_000, 10_000, 8_192, 1_024
INVALID = "invalid_request_error"


@pytest.fixture
def gateway(gateway: RunningGateway) -> RunningGateway:
    """With a model that serves responses, and a key for them."""
    if not Model.objects.filter(public_id=MODEL).exists():
        prices = [UnitPrice("input_tokens", INPUT), UnitPrice("output_tokens", OUTPUT)]
        make_model(MODEL, prices=prices, families=["responses"], context_window=WINDOW, max_output_tokens=MOST)
    Model.objects.filter(public_id=MODEL).update(enabled=True)
    announce()
    assert gateway.organization
    gateway.key, gateway.secret = make_key(gateway.organization, scopes=["responses"])
    return gateway


def ask(gateway: RunningGateway, said: Any = "hello world", **fields: Any) -> Any:
    return gateway.post("/v1/responses", {"model": MODEL, "input": said, **fields})


def charged(gateway: RunningGateway, *, outcome: str = "completed") -> tuple[dict[str, int], int]:
    (line,) = gateway.lines()
    assert (line["endpoint"], line["outcome"]) == ("responses", outcome)
    assert gateway.held_nanos() == line["charge_nanos"]
    return line["usage"], line["charge_nanos"]


def stranger() -> str:
    other = make_organization("Other")
    give_credit(other, DOLLAR)
    return make_key(other, scopes=["responses"])[1]


class TestWithTheSdk:
    def test_a_text_is_answered_and_charged(self, gateway: RunningGateway) -> None:
        response = gateway.openai().responses.create(model=MODEL, input="hello world", instructions="Be brief.")
        assert response.output_text == "You said: hello world"
        assert (response.status, response.model) == ("completed", MODEL)
        assert charged(gateway) == ({"requests": 1, "input_tokens": 4, "output_tokens": 4}, 4 * INPUT + 4 * OUTPUT)

    def test_a_stream_has_typed_events_and_no_sentinel(self, gateway: RunningGateway) -> None:
        events = list(gateway.openai().responses.create(model=MODEL, input="hello world", stream=True))
        kinds = [event.type for event in events]
        assert kinds[:2] == ["response.created", "response.in_progress"]
        assert kinds.count("response.output_text.delta") == 4
        last: Any = events[-1]
        assert (last.type, last.response.usage.output_tokens, last.response.model) == ("response.completed", 4, MODEL)
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert charged(gateway) == ({"requests": 1, "input_tokens": 2, "output_tokens": 4}, 2 * INPUT + 4 * OUTPUT)
        raw = ask(gateway, stream=True).body
        assert b"[DONE]" not in raw
        assert raw.startswith(b"event: response.created\ndata: {")

    def test_it_is_retrieved_listed_and_deleted(self, gateway: RunningGateway) -> None:
        client = gateway.openai()
        made = client.responses.create(model=MODEL, input="hello world")
        assert client.responses.retrieve(made.id).output_text == made.output_text
        (item,) = client.responses.input_items.list(made.id)
        assert item.content[0].text == "hello world"  # type: ignore[union-attr]
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)
        gateway.lines(1)

    def test_a_streamed_one_is_retrieved_as_a_stream_from_where_it_was(self, gateway: RunningGateway) -> None:
        client = gateway.openai()
        events = list(client.responses.create(model=MODEL, input="hello world", stream=True))
        made: Any = events[0]
        again = list(client.responses.retrieve(made.response.id, stream=True, starting_after=2))
        assert [event.sequence_number for event in again] == list(range(3, len(events)))
        last: Any = again[-1]
        assert last.response.model == MODEL
        gateway.lines(1)

    def test_what_was_said_before_goes_before(self, gateway: RunningGateway) -> None:
        client = gateway.openai()
        first = client.responses.create(model=MODEL, input="hello world")
        second = client.responses.create(model=MODEL, input="and now", previous_response_id=first.id)
        assert second.previous_response_id == first.id
        assert second.usage
        assert second.usage.input_tokens == 2 + 4 + 2


class TestEnds:
    def test_incomplete_is_charged_by_its_report(self, gateway: RunningGateway) -> None:
        answer = ask(gateway, "!words=30", max_output_tokens=16).json
        assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
        assert charged(gateway)[0] == {"requests": 1, "input_tokens": 1, "output_tokens": 16}

    def test_incomplete_in_a_stream_too(self, gateway: RunningGateway) -> None:
        assert b"event: response.incomplete\n" in ask(gateway, "!words=30", max_output_tokens=16, stream=True).body
        assert charged(gateway)[0] == {"requests": 1, "input_tokens": 1, "output_tokens": 16}

    @pytest.mark.parametrize("stream", [False, True])
    def test_what_failed_is_told_and_costs_nothing(self, gateway: RunningGateway, *, stream: bool) -> None:
        answer = ask(gateway, "hello !fail", stream=stream)
        assert answer.status == 200
        assert b'"failed"' in answer.body
        assert b"The model stopped working." in answer.body
        assert charged(gateway, outcome="upstream_error")[1] == 0

    @pytest.mark.parametrize("stream", [False, True])
    def test_without_a_report_our_count_is_charged(self, gateway: RunningGateway, *, stream: bool) -> None:
        ask(gateway, "!nousage !words=8", stream=stream)
        (line,) = gateway.lines()
        assert line["estimated"] is True
        # 18 bytes with their quotes; eight words of five bytes with spaces between them.
        assert line["usage"] == {"requests": 1, "input_tokens": 5, "output_tokens": 12}

    def test_cached_and_reasoning_tokens_are_parts_of_the_totals(self, gateway: RunningGateway) -> None:
        ask(gateway, "a b c !cached=2 !reasoning=5")
        expected = {"input_tokens": 3, "cached_input_tokens": 2, "output_tokens": 7, "reasoning_tokens": 5}
        assert charged(gateway)[0] == {"requests": 1, **expected}

    @pytest.mark.parametrize("broken", ["!cut=5", "!error=5"])
    def test_a_stream_without_an_end_costs_nothing_and_raises(self, gateway: RunningGateway, broken: str) -> None:
        with pytest.raises(openai.APIError):
            list(gateway.openai().responses.create(model=MODEL, input=f"hello {broken}", stream=True))
        assert charged(gateway, outcome="upstream_error")[1] == 0

    def test_a_status_that_is_no_word_is_an_upstream_that_is_broken(self, gateway: RunningGateway, says: Says) -> None:
        says(whole(b'{"id": "resp_1", "status": ["queued"], "output": []}'))
        assert ask(gateway).status == 502
        charged(gateway, outcome="upstream_error")

    def test_after_the_end_nothing_is_passed_on(self, gateway: RunningGateway, says: Says) -> None:
        end = {"type": "response.completed", "response": {"id": "r", "usage": {"input_tokens": 1, "output_tokens": 1}}}
        says(HEAD, b"data: " + json.dumps(end).encode() + b"\n\n", b'data: {"type": "more"}\n\ndata: [DONE]\n\n')
        assert ask(gateway, stream=True).body.count(b"data:") == 1
        assert charged(gateway)[0] == {"requests": 1, "input_tokens": 1, "output_tokens": 1}

    def test_a_client_that_goes_pays_what_was_made(self, gateway: RunningGateway) -> None:
        with gateway.openai().responses.create(model=MODEL, input="!words=400 !delay=0.05", stream=True) as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    break
        (line,) = gateway.lines()
        assert (line["outcome"], line["estimated"]) == ("client_disconnected", True)
        assert 0 < line["usage"]["output_tokens"] < 100


class TestHeld:
    """What is set aside, by what a refusal for lack of money tells: the key's budget covers all but a nano-dollar."""

    def budget_for(self, gateway: RunningGateway, nanos: int) -> None:
        from hotstate.records import Budgets

        assert gateway.organization
        _, gateway.secret = make_key(gateway.organization, scopes=["responses"], budgets=Budgets(total=nanos))

    @pytest.mark.parametrize(("short", "status"), [(0, 200), (1, 429)])
    def test_the_body_and_the_most_output(self, gateway: RunningGateway, short: int, status: int) -> None:
        body = json.dumps({"model": MODEL, "input": "hi", "max_output_tokens": 100}).encode()
        self.budget_for(gateway, (len(body) + 64) * INPUT + 100 * OUTPUT - short)
        assert gateway.post("/v1/responses", body).status == status

    @pytest.mark.parametrize(("short", "status"), [(0, 200), (1, 429)])
    def test_the_whole_context_window_for_what_was_said_before(
        self, gateway: RunningGateway, short: int, status: int
    ) -> None:
        first = ask(gateway).json["id"]
        gateway.lines(1)
        # The key of the first is another one: the binding is the organization's.
        self.budget_for(gateway, (WINDOW + 64) * INPUT + 100 * OUTPUT - short)
        assert ask(gateway, "hi", previous_response_id=first, max_output_tokens=100).status == status

    def test_the_upstream_is_told_how_much_it_may_write(self, gateway: RunningGateway) -> None:
        assert ask(gateway, "!words=5000").json["usage"]["output_tokens"] == MOST
        assert ask(gateway, max_output_tokens=MOST + 1).json["error"]["param"] == "max_output_tokens"


class TestWhoseItIs:
    def test_another_organization_s_is_not_gone_on_from(self, gateway: RunningGateway) -> None:
        name = ask(gateway).json["id"]
        gateway.secret = stranger()
        answers = [ask(gateway, previous_response_id=one) for one in (name, "resp-none", "a/../b")]
        assert [answer.error for answer in answers] == [(400, INVALID, "previous_response_not_found")] * 3
        assert answers[0].body.replace(name.encode(), b"") == answers[1].body.replace(b"resp-none", b"")

    @pytest.mark.parametrize(("method", "after"), [("GET", ""), ("DELETE", ""), ("GET", "/input_items")])
    def test_another_organization_s_is_not_there(self, gateway: RunningGateway, method: str, after: str) -> None:
        name, secret = ask(gateway).json["id"], stranger()
        theirs = gateway.request(method, f"/v1/responses/{name}{after}", secret=secret)
        none = gateway.request(method, f"/v1/responses/resp-none{after}", secret=secret)
        assert theirs.error == (404, INVALID, "not_found")
        assert theirs.body == none.body
        assert gateway.request("GET", f"/v1/responses/{name}").status == 200

    def test_what_is_not_stored_is_not_there(self, gateway: RunningGateway) -> None:
        name = ask(gateway, store=False).json["id"]
        assert gateway.request("GET", f"/v1/responses/{name}").status == 404
        assert ask(gateway, previous_response_id=name).status == 400

    def test_a_response_is_no_chat_completion(self, gateway: RunningGateway) -> None:
        assert gateway.organization
        name = ask(gateway).json["id"]
        _, secret = make_key(gateway.organization, scopes=["chat"])
        assert gateway.request("GET", f"/v1/chat/completions/{name}", secret=secret).status == 404

    def test_it_goes_to_the_route_that_has_the_one_before(self, gateway: RunningGateway) -> None:
        from catalog.models import Upstream

        model = Model.objects.get(public_id=MODEL)
        said = {"id": "resp_two", "status": "completed", "output": [], "usage": {"input_tokens": 1, "output_tokens": 1}}
        with scripted.upstream([whole(json.dumps(said).encode())]) as url:
            upstream = Upstream.objects.create(name="second", base_url=url)
            other = Route.objects.create(model=model, upstream=upstream, upstream_model="m", priority=1)
            announce()
            try:
                assert ask(gateway).json["id"] == "resp_two"
                Route.objects.filter(pk=other.pk).update(priority=99)
                announce()
                assert ask(gateway).json["id"].startswith("resp-demo")
                assert ask(gateway, previous_response_id="resp_two").json["id"] == "resp_two"
                Route.objects.filter(pk=other.pk).update(enabled=False)
                announce()
                error = ask(gateway, previous_response_id="resp_two").error
                assert error == (400, INVALID, "previous_response_not_found")
            finally:
                other.delete()
                upstream.delete()
                announce()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"prompt_cache_options": {"comparison_response_id": "resp_1"}}, "prompt_cache_options"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]}, "input"),
        ({"input": [{"type": "computer_call_output", "output": {"type": "x", "file_id": "f"}}]}, "input"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}, {"type": "item_reference", "id": "m"}]},
            "input",
        ),
        ({"input": [7]}, "input"),
        ({"input": [{"type": 7}]}, "input"),
        # Without a type, an id alone is a reference.
        ({"input": [{"id": "msg_1"}]}, "input"),
        ({"input": [{"id": "msg_1", "type": None, "role": "user"}]}, "input"),
        ({"input": [{"id": "msg_1", "content": "hi"}]}, "input"),
        ({"input": [{"type": "image_generation_call", "id": "ig_1"}]}, "input"),
        ({"background": 1, "stream": True}, "background"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "mcp", "server_url": "http://x"}]}, "tools"),
        ({"tools": [{}]}, "tools"),
        ({"tools": "all"}, "tools"),
        ({"background": "yes"}, "background"),
        ({"previous_response_id": 7}, "previous_response_id"),
    ],
)
def test_what_an_upstream_would_look_up_is_refused(gateway: RunningGateway, fields: Any, param: str) -> None:
    answer = ask(gateway, **{"said": "hi", **({"said": fields["input"]} if "input" in fields else fields)})
    assert answer.status == 400
    assert answer.json["error"]["param"] == param
    assert gateway.lines(0) == []


def test_the_clients_own_tools_reach_the_model(gateway: RunningGateway) -> None:
    tools = [{"type": "function", "name": "f", "parameters": {}}, {"type": "custom", "name": "c"}]
    assert ask(gateway, tools=tools).json["tools"] == tools


class TestWhoMadeIt:
    """What failed is told in the upstream's words, but not who the upstream is."""

    TOLD = "Secret-Llama at 127.0.0.1 failed for org-Ab12Cd34Ef"
    FAILED: Any = {"id": "resp_1", "status": "failed", "output": [], "error": {"code": "x", "message": TOLD}}

    @pytest.fixture(autouse=True)
    def _named(self, gateway: RunningGateway) -> Iterator[None]:
        route = Route.objects.filter(model__public_id=MODEL)
        route.update(upstream_model="secret-llama")
        yield
        route.update(upstream_model=MODEL)

    def told(self, answer: Answer) -> None:
        assert b"the model at the model's server failed for" in answer.body
        for secret in (b"Llama", b"127.0.0.1", b"org-"):
            assert secret not in answer.body

    def test_a_failed_one(self, gateway: RunningGateway, says: Says) -> None:
        says(whole(json.dumps(self.FAILED).encode()))
        self.told(ask(gateway))
        self.told(gateway.request("GET", "/v1/responses/resp_1"))
        charged(gateway, outcome="upstream_error")

    def test_a_failed_stream_and_the_same_again(self, gateway: RunningGateway, says: Says) -> None:
        end = {"type": "response.failed", "response": self.FAILED}
        says(HEAD, b"data: " + json.dumps(end).encode() + b"\n\n")
        self.told(ask(gateway, stream=True))
        self.told(gateway.request("GET", "/v1/responses/resp_1?stream=true"))
        charged(gateway, outcome="upstream_error")

    @pytest.mark.parametrize(
        "event",
        [
            {"type": "error", "message": "Secret-Llama"},
            {"type": "response.x", "error": {"message": "Secret-Llama"}},
            {"type": "a\n\ndata: Secret-Llama"},
        ],
    )
    def test_an_error_in_a_stream_that_is_had_again(self, gateway: RunningGateway, says: Says, event: Any) -> None:
        made = ask(gateway).json["id"]
        says(HEAD, b"data: " + json.dumps(event).encode() + b"\n\n")
        answer = gateway.request("GET", f"/v1/responses/{made}?stream=true")
        assert b"Llama" not in answer.body
        assert b'"code":"bad_gateway"' in answer.body
        assert b"Llama" not in ask(gateway, stream=True).body
        gateway.lines(2)
