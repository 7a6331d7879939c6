"""Bytes that nobody should send: each gets a documented error, no 500, no silence, and nothing is charged or held."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.deciding.keyring import Keyring
from gateway.http.request_ids import new_request_id
from tests.cast import make_key
from tests.gateway.conftest import Answer, RunningGateway
from tests.gateway.other_gateway import CHAT_PATH, OtherGateway, other

__all__ = ["other"]

INVALID = "invalid_request_error"
NO_KEY = (401, INVALID, "invalid_api_key")
quick = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Latin-1 is what HTTP lets a header's value be made of; line ends would end it.
header_values = st.binary(min_size=1, max_size=300).filter(lambda value: not {0, 10, 13} & set(value))
odd_texts = st.text(max_size=300).filter(lambda text: text.strip() not in ("demo-chat", ""))


@pytest.fixture(autouse=True)
def _nothing_is_held_or_logged(gateway: RunningGateway) -> Iterator[None]:
    yield
    assert gateway.lines(0) == []
    assert gateway.held_nanos() == 0


def send(gateway: RunningGateway, head: bytes, body: bytes = b"") -> Answer:
    """Send these bytes and read the answer; the connection ends with it."""
    length = b"" if b"content-length" in head.lower() else b"Content-Length: %d\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(head + b"Host: x\r\nConnection: close\r\n" + length + b"\r\n" + body)
        response = HTTPResponse(connection)
        response.begin()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, named, response.read())


def refused(answer: Answer) -> tuple[int, str, str | None]:
    """The error; that of the HTTP server itself, for what is no HTTP, has none of our bodies."""
    if answer.body == b"Invalid HTTP request received.":
        return answer.status, INVALID, None
    return answer.error


def chat(gateway: RunningGateway, body: bytes) -> Answer:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer " + gateway.secret.encode() + b"\r\n"
    return send(gateway, head, body)


class TestSecrets:
    @given(header_values)
    @example(b"\x01\x02")
    @example(b"\x7f")
    @example("ключ".encode())
    @example(b"km-sk-" + b"\xe9" * 46)
    @example(b"x" * 5_000)
    @quick
    def test_any_bytes_in_the_authorization_header(self, gateway: RunningGateway, value: bytes) -> None:
        answer = send(gateway, b"GET /v1/models HTTP/1.1\r\nAuthorization: Bearer " + value + b"\r\n")
        assert refused(answer) in (NO_KEY, (400, INVALID, None))

    @pytest.mark.parametrize("name", [b"Authorization", b"api-key", b"X-Gateway-Credential"])
    def test_a_nul_is_no_http(self, gateway: RunningGateway, name: bytes) -> None:
        answer = send(gateway, b"GET /v1/models HTTP/1.1\r\n" + name + b": a\x00b\r\n")
        assert refused(answer)[:2] == (400, INVALID)

    @given(header_values)
    @quick
    def test_any_bytes_as_a_gateways_credential(self, gateway: RunningGateway, value: bytes) -> None:
        answer = send(gateway, b"GET /auth/check/v1/models HTTP/1.1\r\nX-Gateway-Credential: " + value + b"\r\n")
        assert refused(answer) in ((503, "server_error", "invalid_gateway_credential"), (400, INVALID, None))

    @given(odd_texts)
    @example("km-sk-\x00")
    @example("\\ud800")
    @quick
    def test_any_text_in_json(self, other: OtherGateway, text: str) -> None:
        assert other.verify(text).json["code"] == "malformed"

    @pytest.mark.parametrize("key", [b'"\\ud800"', b'"\xff"', b"5", b"null", b"[]", b'"'])
    def test_what_is_no_text_in_json(self, other: OtherGateway, key: bytes) -> None:
        body = b'{"key": ' + key + b', "endpoint": "models"}'
        assert other.call("/v1/keys/verify", body).error[:2] == (400, INVALID)

    def test_a_flood_of_malformed_ones_looks_nothing_up(
        self, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Keyring, "identify", lambda *_: 1 / 0)
        one = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + gateway.secret[:-1].encode()
        requests = b"".join(one + b"%d\r\n\r\n" % (number % 10) for number in range(1_000) if number % 10 != 5)
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
            connection.sendall(requests + one + b"\r\nConnection: close\r\n\r\n")
            received = b"".join(iter(lambda: connection.recv(1_000_000), b""))
        wrong = 901 if gateway.secret[-1] not in "012346789" else 801
        assert received.count(b"HTTP/1.1 401 ") >= wrong


class TestHeaders:
    def test_a_megabyte_is_too_large(self, gateway: RunningGateway) -> None:
        for name in (b"Authorization: Bearer ", b"X-Other: ", b"X-Forwarded-For: "):
            answer = send(gateway, b"GET /v1/models HTTP/1.1\r\n" + name + b"x" * 1_000_000 + b"\r\n")
            assert answer.error == (431, INVALID, "headers_too_large")
        many = b"".join(b"X-%d: y\r\n" % number for number in range(20_000))
        assert send(gateway, b"GET /v1/models HTTP/1.1\r\n" + many).error == (431, INVALID, "headers_too_large")
        assert gateway.request("GET", "/v1/models").status == 200

    @pytest.mark.parametrize(("length", "status"), [(65_000, 431), (1_000_000, 431)])
    def test_a_long_path_is_too_large(self, gateway: RunningGateway, length: int, status: int) -> None:
        answer = send(gateway, b"GET /v1/models/" + b"x" * length + b" HTTP/1.1\r\nX-Other: " + b"y" * 600 + b"\r\n")
        assert refused(answer)[:2] == (status, INVALID)

    def test_one_key_may_be_shown_twice_but_not_two(self, gateway: RunningGateway) -> None:
        assert gateway.organization
        mine = b"Authorization: Bearer " + gateway.secret.encode() + b"\r\n"
        another = b"Authorization: Bearer " + make_key(gateway.organization)[1].encode() + b"\r\n"
        head = b"GET /v1/models HTTP/1.1\r\n"
        assert send(gateway, head + mine + mine).status == 200
        for two in (mine + another, another + mine, mine + another.replace(b"Authorization: Bearer", b"api-key:")):
            assert send(gateway, head + two).error == (400, INVALID, "two_api_keys")

    @pytest.mark.parametrize("name", [b"Authorization_", b"api.key", b"api_key", b"x-api-key", b"Authorization "])
    def test_an_alias_is_no_key(self, gateway: RunningGateway, name: bytes) -> None:
        answer = send(gateway, b"GET /v1/models HTTP/1.1\r\n" + name + b": Bearer " + gateway.secret.encode() + b"\r\n")
        assert refused(answer) in (NO_KEY, (400, INVALID, None))

    def test_two_lengths_are_no_http(self, gateway: RunningGateway) -> None:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer " + gateway.secret.encode() + b"\r\n"
        answer = send(gateway, head + b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{}")
        assert refused(answer) == (400, INVALID, None)

    @given(header_values)
    @quick
    def test_any_bytes_as_the_model_of_a_proxied_request(self, other: OtherGateway, value: bytes) -> None:
        head = b"GET " + CHAT_PATH.encode() + b" HTTP/1.1\r\nX-Gateway-Credential: " + other.credential.encode()
        head += b"\r\nAuthorization: Bearer " + other.asked.secret.encode() + b"\r\nX-Forwarded-For: 127.0.0.1\r\n"
        answer = send(other.asked, head + b"X-Auth-Model: x" + value + b"\r\n")
        assert refused(answer)[:2] in ((404, INVALID), (400, INVALID))

    @given(header_values)
    @quick
    def test_any_bytes_as_the_clients_address(self, other: OtherGateway, value: bytes) -> None:
        head = b"GET /auth/check/v1/models HTTP/1.1\r\nX-Gateway-Credential: " + other.credential.encode()
        head += b"\r\nAuthorization: Bearer " + other.asked.secret.encode() + b"\r\nX-Forwarded-For: "
        assert send(other.asked, head + value + b"\r\n").status in (200, 400)


NUMBERS = ["1e400", "-0", "0", "-1", "9223372036854775808", "18446744073709551616", "1" + "0" * 400, "1e9", "0.5",
           "NaN", "Infinity", '"12"', "[1]", '{"a": 1}', "true", "01", "1.0"]  # fmt: skip


class TestNumbers:
    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n"])
    @pytest.mark.parametrize("number", NUMBERS)
    def test_an_absurd_number(self, gateway: RunningGateway, name: str, number: str) -> None:
        body = f'{{"model": "demo-chat", "messages": [], "{name}": {number}}}'
        assert chat(gateway, body.encode()).error[:2] == (400, INVALID)

    @pytest.mark.parametrize("name", ["max_output_tokens", "input_tokens", "input_bytes"])
    @pytest.mark.parametrize("number", [number for number in NUMBERS if number not in ("-0", "0", "1e9", "1.0")])
    def test_an_absurd_number_in_a_question(self, other: OtherGateway, name: str, number: str) -> None:
        question = {"key": other.asked.secret, "endpoint": "chat.completions", "model": "demo-chat"}
        body = json.dumps(question)[:-1] + f', "{name}": {number}}}'
        assert other.call("/v1/keys/verify", body.encode()).error[:2] == (400, INVALID)

    @pytest.mark.parametrize("stream", ["0", "1", '"true"', '""', "[]", "{}"])
    def test_a_stream_that_is_no_truth_value(self, gateway: RunningGateway, stream: str) -> None:
        body = f'{{"model": "demo-chat", "messages": [], "stream": {stream}}}'
        assert chat(gateway, body.encode()).error[:2] == (400, INVALID)


ODD_MODELS = ["'", '"', "\n", "\x00", "\x7f", "]]", "%s%n", "{0}", "${x}", "*", "demo-*", ".*", "a b", "模型",
              "\U0001f600", "\u202e", "km:{org_x}", "demo-chat\x00", " demo-chat", "\ufeffdemo-chat"]  # fmt: skip


class TestModels:
    @given(odd_texts.filter(lambda text: 0 < len(text) <= 200))
    @quick
    def test_a_model_of_any_characters_does_not_exist(self, gateway: RunningGateway, model: str) -> None:
        assert gateway.chat(model=model).error == (404, INVALID, "model_not_found")

    @pytest.mark.parametrize("model", ODD_MODELS)
    def test_on_every_face(self, other: OtherGateway, model: str) -> None:
        answer = other.asked.chat(model=model)
        assert answer.error == (404, INVALID, "model_not_found")
        assert model in answer.json["error"]["message"]
        assert other.verify(model=model).json["code"] == "model_not_found"

    @pytest.mark.parametrize("model", ["x" * 10_000, "模" * 10_000, ""])
    def test_one_that_is_too_long_or_empty(self, other: OtherGateway, model: str) -> None:
        assert other.asked.chat(model=model).error == (400, INVALID, None)
        assert other.verify(model=model).error[:2] == (400, INVALID)

    def test_one_that_is_too_long_is_not_repeated(self, other: OtherGateway) -> None:
        long = "x" * 10_000
        for answer in (
            other.check(X__Auth__Model=long),
            other.check(f"/auth/check/v1/models/{long}"),
            other.asked.request("GET", f"/v1/models/{long}"),
        ):
            assert answer.error == (404, INVALID, "model_not_found")
            assert len(answer.body) < 1_000

    @pytest.mark.parametrize("path", ["%00", "%ff", "%F0%9F%98%80", "..%2f..%2f", "%0d%0aX-Id:%20x", "%25", "%", "%zz"])
    def test_one_in_the_path(self, gateway: RunningGateway, path: str) -> None:
        assert (
            send(gateway, f"GET /v1/models/{path} HTTP/1.1\r\nAPI-Key: {gateway.secret}\r\n".encode()).error[0] == 404
        )


DEEP = b"[" * 100_000


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b"\xef\xbb\xbf" + b'{"model": "demo-chat", "messages": []}',
            '{"model": "demo-chat"}'.encode("utf-16"),
            b'{"model": "demo-chat", "messages": [{"role": "user", "content": "\xff"}]}',
            b'{"model": "demo-chat", "messages": [], "\xff": 1}',
            b'{"model": "\\ud800", "messages": []}',
            b'{"model": "demo-chat", "messages": []} x',
            b'{"model": "demo-chat", "messages": []}' * 2,
            b'{"model": "demo-chat", "messages": ' + DEEP,
            b'{"model": "demo-chat", "messages": ' + DEEP + DEEP.replace(b"[", b"]") + b"}",
            b'{"model": "demo-chat", "stream_options": ' + DEEP + DEEP.replace(b"[", b"]") + b"}",
            b'{"a":' * 100_000,
            b'{"model": "demo-chat", "messages": "\x01"}',
            b"\x00" * 1000,
        ],
    )
    def test_what_is_no_json(self, gateway: RunningGateway, body: bytes) -> None:
        assert chat(gateway, body).error[:2] == (400, INVALID)

    @given(st.binary(max_size=400))
    @quick
    def test_any_bytes(self, gateway: RunningGateway, body: bytes) -> None:
        assert chat(gateway, body).error[:2] == (400, INVALID)

    @given(st.binary(max_size=200), st.sampled_from(["verify", "settle", "release"]))
    @quick
    def test_any_bytes_of_another_gateway(self, other: OtherGateway, body: bytes, what: str) -> None:
        assert other.call(f"/v1/keys/{what}", body).error[:2] == (400, INVALID)

    @given(st.dictionaries(st.text(max_size=20), st.none() | st.booleans() | st.text() | st.floats(allow_nan=False)))
    @quick
    def test_any_members(self, other: OtherGateway, members: dict[str, Any]) -> None:
        wrong = {**members, "model": "demo-chat", "max_tokens": "many"}
        assert other.asked.post("/v1/chat/completions", wrong).error[:2] == (400, INVALID)
        assert other.call("/v1/keys/verify", {**members, "key": 5}).error[:2] == (400, INVALID)

    def test_the_last_of_two_members_counts_for_us_and_the_upstream(self, gateway: RunningGateway) -> None:
        """What is judged is what is sent on, so a second `model` or `max_tokens` can't slip through."""
        body = b'{"model": "demo-chat", "model": "never", "messages": []}'
        assert chat(gateway, body).error == (404, INVALID, "model_not_found")
        body = b'{"model": "demo-chat", "messages": [], "max_tokens": 1, "max_tokens": 99999999}'
        assert chat(gateway, body).error[:2] == (400, INVALID)
        body = b'{"model": "demo-chat", "m\\u006fdel": "never", "messages": []}'
        assert chat(gateway, body).error == (404, INVALID, "model_not_found")


@given(st.binary(min_size=1, max_size=400).filter(lambda content: b"\r\n\r\n" not in content))
@example(b"GET /v1/models\r\n")
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
@example(b"GET /v1/\xff HTTP/1.1\r\n")
@example(b"PRI * HTTP/2.0\r\n")
@quick
def test_what_is_no_http(gateway: RunningGateway, content: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(content + b"\r\n\r\n\x00\r\n\r\n")
        received = connection.recv(100_000)
    assert received == b"" or received.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))


@pytest.mark.parametrize("name", ["X-Request-Id", "X-Hold", "X-Key-Id"])
def test_an_id_from_a_client_is_never_believed(gateway: RunningGateway, name: str) -> None:
    answer = gateway.request("GET", "/v1/models", headers={name: str(new_request_id())})
    assert answer.headers["x-request-id"] != name
