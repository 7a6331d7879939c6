"""A request has an id of ours and one of the upstream's. The line has both, the upstream both, the client only ours."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from catalog.models import Upstream
from tests.gateway import scripted
from tests.gateway.conftest import RunningGateway, announce
from tests.gateway.scripted import ANSWER, DONE, HEAD, chunk, whole

ITS_ID = b"X-Request-Id: req-theirs-1\r\n"
ERROR = b'{"error": {"message": "No", "type": "x", "param": null, "code": "some_code"}}'
STREAM = HEAD.removesuffix(b"\r\n") + ITS_ID + b"\r\n", chunk("a", finish="stop"), chunk(usage=(3, 1)), DONE
Asked = list[bytes]


@pytest.fixture
def hears(gateway: RunningGateway) -> Iterator[Callable[..., Asked]]:
    """`hears(bytes, …)`: what the upstream answers from now on; what it is asked is in the list that this gives."""
    with ExitStack() as stack:

        def script(*steps: scripted.Step) -> Asked:
            heard: Asked = []
            Upstream.objects.update(base_url=stack.enter_context(scripted.upstream(steps, heard)))
            announce()
            return heard

        yield script


def failing(status: str) -> tuple[bytes]:
    return (whole(ERROR, status=status, headers=ITS_ID),)


@pytest.mark.parametrize(
    ("said", "stream", "status", "outcome"),
    [
        ((whole(ANSWER, headers=ITS_ID),), False, 200, "completed"),
        (STREAM, True, 200, "completed"),
        (failing("400 Bad"), False, 400, "refused"),
        (failing("400 Bad"), True, 400, "refused"),
        (failing("401 No"), False, 503, "upstream_error"),
        (failing("404 No"), False, 503, "upstream_error"),
        (failing("429 Slow"), False, 503, "upstream_error"),
        (failing("500 No"), False, 502, "upstream_error"),
        (failing("503 No"), True, 503, "upstream_error"),
        ((whole(ERROR, headers=ITS_ID),), False, 502, "upstream_error"),
        # Its head came, and half of what is in it.
        ((whole(ERROR, status="500 No", headers=ITS_ID)[:-9],), False, 502, "upstream_error"),
    ],
)
def test_both_ids_are_in_the_line_however_the_upstream_answers(
    gateway: RunningGateway, hears: Callable[..., Asked], said: Any, stream: bool, status: int, outcome: str
) -> None:
    heard = hears(*said)
    answer = gateway.chat(stream=stream)
    assert answer.status == status
    (line,) = gateway.lines()
    assert (line["outcome"], line.get("upstream_request_id")) == (outcome, "req-theirs-1")
    (asked,) = heard
    (told,) = re.findall(rb"(?i)\r\nx-request-id: (.*?)\r\n", asked)
    assert told.decode() == answer.headers["x-request-id"] == line["id"]
    assert b"req-theirs" not in answer.body
    assert "req-theirs" not in str(answer.headers)


@pytest.mark.parametrize("status", ["200 OK", "400 Bad", "500 No"])
def test_an_odd_id_is_kept_as_far_as_a_line_can_hold_it(
    gateway: RunningGateway, hears: Callable[..., Asked], status: str
) -> None:
    hears(whole(ANSWER, status=status, headers=b"X-Request-Id: \xffa" + 300 * b"b" + b"\r\n"))
    assert gateway.chat().status in (200, 400, 502)
    (line,) = gateway.lines()
    assert line["upstream_request_id"] == "?a" + 198 * "b"
