"""An upstream is shown its own credential and never the client's key; nobody else sees either: not in an answer or its
headers, not in our log, not in a usage line, however the upstream answers."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.gateway.conftest import CREDENTIAL, Answer, RunningGateway
from tests.gateway.scripted import ANSWER, DONE, HEAD, chunk, whole
from tests.gateway.test_request_ids import Asked, hears

__all__ = ["hears"]

TOLD = (
    f"X-Authorization: Bearer {CREDENTIAL}\r\nWWW-Authenticate: Bearer {CREDENTIAL}\r\nX-Request-Id: {CREDENTIAL}\r\n"
).encode()
WORDS = f"Incorrect API key provided: {CREDENTIAL}"
ERROR = json.dumps({"error": {"message": WORDS, "type": "x", "param": WORDS, "code": CREDENTIAL}}).encode()
EVENT = b"data: " + ERROR + b"\n\n"


def told(gateway: RunningGateway, answer: Answer, line: dict[str, Any], logged: str) -> list[str]:
    """Where one of the two secrets is shown."""
    places = {"body": answer.body.decode(), "headers": str(answer.headers), "line": json.dumps(line), "log": logged}
    return [name for name, text in places.items() if CREDENTIAL in text or gateway.secret in text]


@pytest.mark.parametrize(
    ("said", "stream", "status", "logged"),
    [
        ((whole(ANSWER, headers=TOLD),), False, 200, ""),
        (
            (HEAD.removesuffix(b"\r\n") + TOLD + b"\r\n", chunk("a", finish="stop"), chunk(usage=(3, 1)), DONE),
            True,
            200,
            "",
        ),
        ((HEAD, chunk("a"), EVENT), True, 200, ""),
        ((whole(ERROR),), False, 502, ""),
        ((whole(ERROR, status="400 Bad", headers=TOLD),), False, 400, "upstream refused"),
        ((whole(ERROR, status="401 No", headers=TOLD),), False, 503, "upstream refused"),
        ((whole(ERROR, status="429 Slow", headers=TOLD),), False, 503, "upstream refused"),
        ((whole(ERROR, status="500 No", headers=TOLD),), True, 502, "upstream refused"),
        ((whole(CREDENTIAL.encode(), status="500 No"),), False, 502, "upstream refused"),
        ((f"{CREDENTIAL} is no head\r\n\r\n".encode(),), False, 502, ""),
        ((b"",), False, 502, ""),
    ],
)
def test_credentials_stay_where_they_belong(
    gateway: RunningGateway,
    hears: Callable[..., Asked],
    caplog: pytest.LogCaptureFixture,
    said: Any,
    stream: bool,
    status: int,
    logged: str,
) -> None:
    heard = hears(*said)
    answer = gateway.chat(stream=stream)
    assert answer.status == status
    (line,) = gateway.lines()
    for asked in heard:
        assert f"\r\nAuthorization: Bearer {CREDENTIAL}\r\n".encode() in asked
        assert gateway.secret.encode() not in asked
    assert heard
    assert logged in caplog.text
    assert told(gateway, answer, line, caplog.text) == []


def test_a_mistake_of_ours_is_logged_without_them(
    gateway: RunningGateway, hears: Callable[..., Asked], caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("a mistake of ours")

    hears(whole(ANSWER))
    monkeypatch.setattr("gateway.proxying.whole.pass_on", broken)
    answer = gateway.chat()
    assert answer.error == (500, "server_error", "internal_error")
    (line,) = gateway.lines()
    assert "a mistake of ours" in caplog.text
    assert told(gateway, answer, line, caplog.text) == []
