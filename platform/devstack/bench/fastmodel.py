"""A model server that costs next to nothing: it answers the same each time, whole or as a stream of 50 chunks.

A model called `paced` sends a chunk every 10 ms, any other sends all of them at once.
"""

import argparse
import asyncio
import json
import re
from typing import cast

import uvloop

CHUNKS, GAP_SECONDS = 50, 0.01
USAGE = {"prompt_tokens": 12, "completion_tokens": CHUNKS, "total_tokens": 12 + CHUNKS}
SAID = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "bench"}
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def _whole() -> bytes:
    message = {"role": "assistant", "content": "word " * CHUNKS}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    body = json.dumps({"object": "chat.completion", **SAID, "choices": [choice], "usage": USAGE}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _event(data: object) -> bytes:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    event = b"data: " + text + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return _event({"object": "chat.completion.chunk", **SAID, "choices": [choice], "usage": None})


WHOLE = _whole()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PARTS = [_chunk({"role": "assistant", "content": "word "}), *[_chunk({"content": "word "})] * (CHUNKS - 1)]
REPORT = _event({"object": "chat.completion.chunk", **SAID, "choices": [], "usage": USAGE})
LAST = _chunk({}, "stop") + REPORT + _event(b"[DONE]") + b"0\r\n\r\n"
STREAM = HEAD + b"".join(PARTS) + LAST
READY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Answering(asyncio.Protocol):
    """One connection, with a request at a time."""

    _transport: asyncio.Transport
    _received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports aren't of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        told = LENGTH.search(self._received, 0, end)
        whole = end + 4 + (int(told[1]) if told else 0)
        if len(self._received) >= whole:
            body, self._received = self._received[end + 4 : whole], self._received[whole:]
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        if not body:
            self._transport.write(READY)
        elif b'"stream":true' not in body:
            self._transport.write(WHOLE)
        elif b'"model":"paced"' in body:
            self._transport.write(HEAD + PARTS[0])
            asyncio.get_running_loop().call_later(GAP_SECONDS, self._go_on, 1)
        else:
            self._transport.write(STREAM)

    def _go_on(self, place: int) -> None:
        if place == CHUNKS:
            self._transport.write(LAST)
            return
        self._transport.write(PARTS[place])
        asyncio.get_running_loop().call_later(GAP_SECONDS, self._go_on, place + 1)


async def _serve(host: str, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answering, host, port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    given = parser.parse_args()
    uvloop.run(_serve(given.host, given.port))
