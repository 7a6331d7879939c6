"""An upstream that says exactly what a test wants, byte for byte."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
Step = bytes | float | threading.Event
Script = Sequence[Step]


def whole(
    body: bytes, *, status: str = "200 OK", headers: bytes = b"", content_type: str = "application/json"
) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n".encode()
    return head + headers + b"\r\n" + body


def chunk(content: str = "", *, finish: str | None = None, usage: tuple[int, int] | None = None) -> bytes:
    choices = [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]
    event: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
    }
    if usage:
        event |= {"choices": [], "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def padded(size: int) -> bytes:
    """A chunk without output, with so many bytes of padding, as OpenAI's streams have it."""
    event = json.loads(chunk().removeprefix(b"data: ")) | {"obfuscation": "x" * size}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
ANSWER = json.dumps(
    {"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
).encode()


@contextmanager
def upstream(script: Script, heard: list[bytes] | None = None) -> Iterator[str]:
    """Answer every request with the script: bytes are sent, numbers are seconds of silence, events waited for.

    What is asked, its head at least, is added to `heard`.
    """
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_serve, args=(server, script, [] if heard is None else heard), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    finally:
        server.close()


def _serve(server: socket.socket, script: Script, heard: list[bytes]) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            threading.Thread(target=_answer, args=(client, script, heard), daemon=True).start()


def _answer(client: socket.socket, script: Script, heard: list[bytes]) -> None:
    with client, suppress(OSError):
        heard.append(client.recv(1_000_000))
        for step in script:
            if isinstance(step, bytes):
                client.sendall(step)
            elif isinstance(step, threading.Event):
                step.wait(30)
            else:
                time.sleep(step)
