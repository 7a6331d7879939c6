"""Every verdict through every face, and every face without Valkey."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.deciding.verdicts import Verdict
from gateway.errors import refusal
from hotstate.errors import Unreachable
from tests.gateway.other_gateway import (
    CHAT_PATH,
    OtherGateway,
    other,
    refused,
)
from tests.waiting import wait_until

__all__ = ["other"]


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_through_every_face(other: OtherGateway, verdict: Verdict) -> None:
    secret = refused(other.asked, verdict)
    if verdict in (Verdict.RATE_LIMITED, Verdict.CONCURRENCY_LIMITED):
        assert other.verify(secret).json["valid"]

    told = other.verify(secret)
    assert told.status == 200
    assert (told.json["code"], told.json["valid"]) == (verdict, verdict is Verdict.ALLOWED)
    assert (told.json["hold"] is not None) == (verdict is Verdict.ALLOWED)
    checked = other.check(secret=secret, X__Auth__Model="demo-chat")
    nginx = other.check(CHAT_PATH + "?profile=nginx", secret=secret, X__Auth__Model="demo-chat")
    other.asked.secret = secret
    proxied = other.asked.chat(max_tokens=100)
    if verdict is Verdict.ALLOWED:
        assert (checked.status, nginx.status, nginx.headers["x-auth-status"]) == (200, 200, "200")
        assert proxied.status == 200
        return
    error = refusal(verdict)
    assert proxied.error == (error.status, error.type, error.code)
    assert proxied.json == checked.json or verdict is Verdict.RATE_LIMITED
    for header in ("retry-after", "retry-after-ms", "x-should-retry"):
        assert (header in proxied.headers) == (header in checked.headers) == (header in nginx.headers)
    assert checked.error == (error.status, error.type, error.code)
    assert (told.json["status"], told.json["error"]) == (error.status, checked.json)
    assert nginx.status == (401 if error.status == 401 else 403)
    assert (nginx.headers["x-auth-status"], nginx.headers["x-auth-code"]) == (str(error.status), error.code)
    assert nginx.json == checked.json or verdict is Verdict.RATE_LIMITED
    # nginx drops the body of a refusal, and passes on this header.
    assert json.loads(nginx.headers["x-auth-error"]) == nginx.json
    if verdict is Verdict.RATE_LIMITED:
        assert told.json["retry_after_ms"] > 0
        assert checked.headers["retry-after"]
    if error.status == 429 and verdict not in (Verdict.RATE_LIMITED, Verdict.CONCURRENCY_LIMITED):
        assert checked.headers["x-should-retry"] == "false"


def test_faces_md_has_every_verdict() -> None:
    table = (Path(__file__).resolve().parent.parent.parent / "docs" / "faces.md").read_text()
    for verdict in Verdict:
        if verdict is not Verdict.ALLOWED:
            error = refusal(verdict)
            nginx = 401 if error.status == 401 else 403
            assert f"| `{verdict}` | 200 | {error.status} | {error.type} | {error.code} | {nginx} |" in table


def test_without_valkey_every_face_is_unavailable(other: OtherGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    told = other.verify().json

    def away(*_: Any) -> None:
        raise Unreachable("away")

    monkeypatch.setattr("hotstate.pipelining.Connection.send", away)
    unavailable = (503, "server_error", "service_unavailable")
    assert other.verify().error == unavailable
    assert other.settle(told).error == unavailable
    assert other.call("/v1/keys/release", {"request_id": told["request_id"], "org": told["org"]}).error == unavailable
    assert other.check().error == unavailable
    nginx = other.check(CHAT_PATH + "?profile=nginx")
    assert (nginx.status, nginx.headers["x-auth-status"]) == (403, "503")
    assert other.asked.request("GET", "/v1/key").error == unavailable
    monkeypatch.undo()
    assert other.settle(told).json["settled"]
    wait_until(lambda: other.asked.request("GET", "/v1/key").status == 200, "decisions to go on")
    assert len(other.asked.lines(1)) == 1
