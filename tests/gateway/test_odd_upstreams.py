"""Upstreams are strangers: whatever they send, the client gets sense, and the charge is right."""

import json
from typing import Any

import pytest

from catalog.models import Upstream
from tests.gateway.conftest import Answer, RunningGateway, Says
from tests.gateway.scripted import ANSWER, DONE, HEAD, chunk, whole

INPUT, OUTPUT = 3_000, 15_000
BROKEN = (502, "server_error", "bad_gateway")


def streamed(gateway: RunningGateway, **fields: Any) -> Answer:
    return gateway.chat("hello", stream=True, **fields)


def line(gateway: RunningGateway) -> dict[str, Any]:
    (found,) = gateway.lines()
    assert gateway.held_nanos() == found["charge_nanos"]
    return found


def test_a_header_of_odd_bytes_costs_what_it_costs(gateway: RunningGateway, says: Says) -> None:
    says(whole(ANSWER, headers=b"X-Request-Id: \xff\xfe\r\n"))
    assert gateway.chat().status == 200
    assert line(gateway)["charge_nanos"] == 5 * INPUT + 2 * OUTPUT


@pytest.mark.parametrize(
    "body", [b'{"error": {"message": "no"}}', b'{"foo": 1}', b"[]", b"", b'{"choices": [', b"\xff"]
)
def test_a_200_that_is_no_answer_is_an_error_and_free(gateway: RunningGateway, says: Says, body: bytes) -> None:
    says(whole(body))
    assert gateway.chat().error == BROKEN
    assert line(gateway)["charge_nanos"] == 0


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
def test_a_stream_that_is_none_is_an_error_and_free(gateway: RunningGateway, says: Says, content_type: str) -> None:
    """And its hold is gone, though no chunk ever came: otari 128, LiteLLM 27639."""
    says(whole(ANSWER, content_type=content_type))
    assert streamed(gateway).error == BROKEN
    assert line(gateway)["charge_nanos"] == 0


@pytest.mark.parametrize("ending", ["\r\n", "\r", "\n"])
def test_lines_may_end_in_any_way_and_break_anywhere(gateway: RunningGateway, says: Says, ending: str) -> None:
    content = (chunk("a") + b": comment\n\n" + chunk("b", finish="stop") + chunk(usage=(3, 2)) + DONE).replace(
        b"\n", ending.encode()
    )
    pieces: list[bytes | float] = [HEAD]
    for at in range(0, len(content), 37):
        pieces += [content[at : at + 37], 0.002]
    says(*pieces)
    answer = streamed(gateway)
    assert answer.body.count(b"data: ") == 3
    assert answer.body.endswith(DONE)
    assert line(gateway)["charge_nanos"] == 3 * INPUT + 2 * OUTPUT


@pytest.mark.parametrize("after", [[30.0], [], [b"data: {broken\n\n"]])
def test_nothing_after_the_last_word_changes_anything(gateway: RunningGateway, says: Says, after: list[Any]) -> None:
    says(HEAD, chunk("a", finish="stop"), chunk(usage=(3, 1)), DONE, *after)
    answer = streamed(gateway)
    assert answer.body.endswith(DONE)
    found = line(gateway)
    assert (found["outcome"], found["charge_nanos"]) == ("completed", 3 * INPUT + OUTPUT)


def test_a_stream_without_its_last_word_gets_one(gateway: RunningGateway, says: Says) -> None:
    says(HEAD, chunk("a", finish="stop"), chunk(usage=(3, 1)))
    assert streamed(gateway).body.endswith(DONE)
    assert line(gateway)["outcome"] == "completed"


def test_a_long_word_is_no_reason_to_cut(gateway: RunningGateway, says: Says) -> None:
    says(HEAD, chunk(" internationalization", finish="length"), chunk(usage=(3, 1)), DONE)
    assert streamed(gateway, max_tokens=1).body.endswith(DONE)
    assert line(gateway)["charge_nanos"] == 3 * INPUT + OUTPUT


def test_an_upstream_that_ignores_its_limit_is_cut_and_the_client_pays_for_the_limit(
    gateway: RunningGateway, says: Says
) -> None:
    says(HEAD, *[chunk("word " * 50) for _ in range(500)])
    answer = streamed(gateway, max_tokens=10)
    assert b'"code":"hold_exhausted"' in answer.body
    found = line(gateway)
    assert (found["outcome"], found["usage"]["output_tokens"]) == ("hold_exhausted", 10)


def test_leaving_just_before_the_usage_saves_nothing(gateway: RunningGateway, says: Says) -> None:
    says(HEAD, chunk("a", finish="stop"), 0.3, chunk(usage=(3, 4000)), DONE)
    stream = gateway.openai().chat.completions.create(
        model="demo-chat", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    next(iter(stream))
    stream.close()
    found = line(gateway)
    assert (found["outcome"], found["charge_nanos"]) == ("client_disconnected", 3 * INPUT + 4000 * OUTPUT)


@pytest.mark.parametrize("status", ["402 Payment Required", "404 Not Found"])
def test_our_own_trouble_with_an_upstream_is_not_told_as_the_clients(
    gateway: RunningGateway, says: Says, status: str
) -> None:
    says(whole(b'{"error": {"message": "Insufficient credits at Secret Labs"}}', status=status))
    answer = gateway.chat()
    assert answer.error == (503, "server_error", "model_unavailable")
    assert b"Secret" not in answer.body
    assert line(gateway)["charge_nanos"] == 0


def test_the_upstreams_name_of_the_model_is_not_told(gateway: RunningGateway, says: Says) -> None:
    from catalog.models import Route

    Route.objects.update(upstream_model="secret/llama")
    says(
        whole(b'{"error": {"message": "secret/llama takes no images", "param": "messages"}}', status="400 Bad Request")
    )
    answer = gateway.chat()
    assert answer.error == (400, "invalid_request_error", None)
    assert b"secret" not in answer.body
    assert line(gateway)["outcome"] == "refused"


def test_a_redirect_is_not_followed(gateway: RunningGateway, says: Says) -> None:
    says(whole(b"", status="302 Found", headers=b"Location: http://127.0.0.1:1/\r\n"))
    assert gateway.chat().error == BROKEN
    gateway.lines()


@pytest.mark.parametrize(("convention", "rest"), [("openai", 4), ("anthropic", 10)])
def test_what_an_upstreams_counts_mean_is_its_convention(
    gateway: RunningGateway, says: Says, convention: str, rest: int
) -> None:
    Upstream.objects.update(convention=convention)
    usage = {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 6}}
    says(whole(json.dumps({"choices": [{"message": {"content": "hi"}}], "usage": usage}).encode()))
    assert gateway.chat().status == 200
    assert line(gateway)["charge_nanos"] == rest * INPUT + 6 * INPUT // 10 + OUTPUT


def test_what_has_no_price_keeps_what_was_set_aside_until_a_person_looks(gateway: RunningGateway, says: Says) -> None:
    says(whole(b'{"choices": [{"message": {"content": "hi"}}], "usage": {"seconds": 3}}'))
    assert gateway.chat(max_tokens=10).status == 200
    found = line(gateway)
    assert found["usage"] == {"requests": 1, "seconds": 3}
    assert found["charge_nanos"] >= 10 * OUTPUT


@pytest.mark.parametrize(("seconds", "status"), [('"1e999990"', 200), ("1e400", 502), ('"-1e999990"', 200)])
def test_a_number_without_bounds_keeps_nobody_busy(
    gateway: RunningGateway, says: Says, seconds: str, status: int
) -> None:
    says(whole(b'{"choices": [{"message": {"content": "four"}}], "usage": {"seconds": %s}}' % seconds.encode()))
    assert gateway.chat().status == line(gateway)["status"] == status
