"""Upstreams are strangers: whatever they send, the client gets sense, and the charge is right."""

import gzip
import json
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientTimeout

from catalog.models import Route, Upstream
from tests.gateway import scripted
from tests.gateway.conftest import Answer, RunningGateway, Says, announce
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


@pytest.mark.parametrize(
    ("head", "again", "stream"),
    [
        (HEAD, b": ping\n\n", True),
        (HEAD, chunk(""), True),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{", b" ", False),
    ],
    ids=["pings", "nothing said", "dripping"],
)
def test_what_never_ends_is_broken_off_and_its_hold_goes(
    gateway: RunningGateway, says: Says, monkeypatch: pytest.MonkeyPatch, head: bytes, again: bytes, stream: bool
) -> None:
    upstreams = gateway.application.gateway.upstreams
    monkeypatch.setattr(upstreams, "patience", ClientTimeout(1.0, sock_connect=5.0, sock_read=20.0))
    says(head, *[again, 0.05] * 1_000)
    answer = gateway.chat("hello", stream=stream)
    assert b"model_timeout" in answer.body
    assert line(gateway)["outcome"] == "timeout"


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


SECRET = "demo-upstream-credential"


@pytest.mark.parametrize(
    "told",
    [
        "Bearer demo-upstream-credential is over its limit",
        "POST {url}/chat/completions: no such thing",
        "ask {host}",
        "Organization org-Ab12Cd34Ef56 has no such model (request req_0123456789abcdef)",
        "Secret/Llama-7 and secret/llama-7.",
    ],
)
def test_a_refusal_does_not_tell_who_the_upstream_is(gateway: RunningGateway, says: Says, told: str) -> None:
    Route.objects.update(upstream_model="secret/llama-7")
    with ExitStack() as stack:
        steps: list[bytes] = []
        url = stack.enter_context(scripted.upstream(steps))
        said = told.format(url=url, host=urlsplit(url).netloc)
        error = {"message": "It says: " + said, "param": said, "code": said}
        steps.append(whole(json.dumps({"error": error}).encode(), status="400 Bad Request"))
        Upstream.objects.update(base_url=url)
        announce()
        answer = gateway.chat()
        assert answer.error == (400, "invalid_request_error", None)
        assert answer.json["error"]["message"].startswith("It says: ")
        for secret in (SECRET, url, urlsplit(url).netloc, "127.0.0.1", "org-Ab", "req_01", "llama"):
            assert secret.encode() not in answer.body.lower()
    assert line(gateway)["outcome"] == "refused"


def test_a_refusal_s_own_words_stay(gateway: RunningGateway, says: Says) -> None:
    error = {"message": "No picture at https://example.com/a.png.", "param": "messages[0]", "code": "bad_image"}
    says(whole(json.dumps({"error": error}).encode(), status="400 Bad Request"))
    assert gateway.chat().json["error"] == {**error, "type": "invalid_request_error"}
    assert line(gateway)["outcome"] == "refused"


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"object": "error", "message": "Secret Labs", "code": 500}\n\n',
        b'data: {"error": {"message": "Secret Labs"}}\n\n',
        b'data: {"choices": %s, "by": "Secret Labs"}\n\n' % (b"[" * 300 + b"]" * 300),
    ],
)
def test_an_event_that_tells_of_the_upstream_is_not_passed_on(
    gateway: RunningGateway, says: Says, event: bytes
) -> None:
    says(HEAD, chunk("a"), event, chunk("b", finish="stop"), DONE)
    answer = streamed(gateway)
    assert b"Secret" not in answer.body
    assert b'"code":"bad_gateway"' in answer.body
    assert line(gateway)["charge_nanos"] == 0


def test_an_error_that_is_none_ends_no_stream(gateway: RunningGateway, says: Says) -> None:
    says(HEAD, chunk("a", finish="stop").replace(b'{"id"', b'{"error": null, "id"'), chunk(usage=(3, 1)), DONE)
    assert streamed(gateway).body.endswith(DONE)
    assert line(gateway)["charge_nanos"] == 3 * INPUT + OUTPUT


@pytest.mark.parametrize(
    ("usage", "charged"),
    [
        ({"prompt_tokens": -1, "completion_tokens": 2}, None),
        ({"prompt_tokens": 5.0, "completion_tokens": 2}, None),
        ({"prompt_tokens": "5", "completion_tokens": 2}, None),
        ({"prompt_tokens": 5, "completion_tokens": True}, None),
        ({"prompt_tokens": 5}, None),
        ([], None),
        ({"prompt_tokens": 0, "completion_tokens": 0}, 0),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 50}}, None),
        ({"prompt_tokens": 5, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": -9}}, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_report_that_makes_no_sense_is_none_and_never_negative(
    gateway: RunningGateway, says: Says, usage: Any, charged: int | None, *, stream: bool
) -> None:
    told = json.dumps(usage).encode()
    if stream:
        says(HEAD, chunk("hi", finish="stop"), b'data: {"choices": [], "usage": ' + told + b"}\n\n", DONE)
    else:
        says(whole(b'{"choices": [{"message": {"content": "hi"}}], "usage": ' + told + b"}"))
    assert gateway.chat(stream=stream).status == 200
    found = line(gateway)
    assert found["charge_nanos"] == charged if charged is not None else found["charge_nanos"] > 0


def test_the_last_of_two_reports_counts_once(gateway: RunningGateway, says: Says) -> None:
    says(HEAD, chunk(usage=(3, 1)), chunk("a", finish="stop"), chunk(usage=(3, 2)), chunk(usage=(3, 2)), DONE)
    assert streamed(gateway).body.count(b"data: ") == 2
    assert line(gateway)["charge_nanos"] == 3 * INPUT + 2 * OUTPUT


BOMB = gzip.compress(b" " * (65 * 1024 * 1024))


@pytest.mark.parametrize(
    "said",
    [
        pytest.param([whole(BOMB, headers=b"Content-Encoding: gzip\r\n")], id="a bomb"),
        pytest.param([whole(ANSWER, headers=b"Content-Encoding: gzip\r\n")], id="no gzip"),
        pytest.param([whole(ANSWER, headers=b"Transfer-Encoding: chunked\r\n")], id="two lengths"),
        pytest.param([b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"], id="101"),
        pytest.param([whole(ANSWER, status="201 Created")], id="201"),
        pytest.param([whole(ANSWER)[:-9]], id="cut off"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"],
            id="cut off in a chunk",
        ),
        pytest.param([b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n"], id="a long head"),
        pytest.param([b"\x16\x03\x01\x02\x00"], id="no HTTP"),
        pytest.param([], id="nothing"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_no_answer_by_its_head_or_its_length_is_free(
    gateway: RunningGateway, says: Says, said: list[bytes], *, stream: bool
) -> None:
    says(*said)
    assert gateway.chat(stream=stream).error == BROKEN
    assert line(gateway)["charge_nanos"] == 0


def test_what_comes_before_an_answer_is_not_taken_for_it(gateway: RunningGateway, says: Says) -> None:
    says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + whole(ANSWER))
    assert gateway.chat().status == 200
    assert line(gateway)["charge_nanos"] == 5 * INPUT + 2 * OUTPUT


def test_no_header_of_the_upstream_reaches_the_client(gateway: RunningGateway, says: Says) -> None:
    told = {"openai-organization": "secret", "server": "secret", "set-cookie": "a=secret", "x-request-id": "secret"}
    headers = b"".join(f"{name}: {value}\r\n".encode() for name, value in told.items())
    says(whole(ANSWER, headers=headers + b"x-ratelimit-remaining-requests: secret\r\n"))
    answer = gateway.chat()
    assert "secret" not in str(answer.headers)
    line(gateway)
