"""`/v1/chat/completions` and `/v1/completions`: the same answers in two shapes, whole or streamed."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from devstack.modelserver import stored
from devstack.modelserver.answer import Answer, Json, Prompt, text_of
from devstack.modelserver.directives import Behaviour, Directives
from devstack.modelserver.errors import error_body
from devstack.modelserver.functions import call_of
from devstack.modelserver.records import Record

CREATED = 1_767_225_600
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
PICTURE: Json = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}


@dataclass(frozen=True)
class Shape:
    """How chat and plain completions differ."""

    whole: str
    chunk: str
    prefix: str
    chat: bool

    def choice(self, index: int, text: str, finish: str, call: Json | None = None, drawn: Json | None = None) -> Json:
        message: Json = {"role": "assistant", "content": text, **(drawn or {})}
        said: Json = {"message": message} if self.chat else {"text": text}
        if call:
            said = {"message": {"role": "assistant", "content": None, "tool_calls": [call]}}
        return {"index": index, **said, "logprobs": None, "finish_reason": finish}

    def delta(self, index: int, text: str | None, finish: str | None, *, first: bool = False) -> Json:
        said: Json = {"text": text or ""}
        if self.chat:
            delta = {} if text is None else {"content": text}
            said = {"delta": {"role": "assistant"} | delta if first else delta}
        return {"index": index, **said, "logprobs": None, "finish_reason": finish}


CHAT = Shape("chat.completion", "chat.completion.chunk", "chatcmpl-demo", chat=True)
TEXT = Shape("text_completion", "text_completion", "cmpl-demo", chat=False)


def read_prompt(shape: Shape, body: Json, behaviour: Behaviour) -> Prompt:
    """The prompt of a request's body. Raises ValueError if it has none."""
    if shape.chat:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise ValueError("messages: a non-empty list is expected")
        texts = [text_of(message.get("content")) for message in messages if isinstance(message, dict)]
    else:
        prompt = body.get("prompt")
        texts = [text for text in (prompt if isinstance(prompt, list) else [prompt]) if isinstance(text, str)]
        if not texts:
            raise ValueError("prompt: a string or a list of strings is expected")
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    asked = behaviour.next(texts[-1])
    as_json = (body.get("response_format") or {}).get("type") == "json_object"
    call = call_of(body, texts[-1]) if shape.chat else None
    return Prompt(texts, limit, body.get("n") or 1, asked, call, as_json, _pictures(body, asked) if shape.chat else 0)


def _pictures(body: Json, asked: Directives) -> int:
    """As many as the prompt says; one of a model that draws."""
    if asked.pictures is not None:
        return asked.pictures
    return int(body.get("model") == "demo-image")


async def respond(request: web.Request, shape: Shape, body: Json, prompt: Prompt, record: Record) -> web.StreamResponse:
    """Answer as the request wants it, whole or streamed."""
    answer = Answer(prompt)
    name = shape.prefix
    if shape.chat and body.get("store") is True:
        name = request.app[stored.CHATS].new_id()
        stored.keep_chat(request.app, body, whole(shape, body, answer) | {"id": name})
    if body.get("stream"):
        return await stream(request, shape, body, answer, record, name)
    content = json.dumps(whole(shape, body, answer) | {"id": name}).encode()
    if prompt.directives.garbage:
        content = b"<html>this is not JSON"
    if prompt.directives.cut is not None:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        hang_up(request, record)
        return response
    return web.Response(body=content, content_type="application/json")


def whole(shape: Shape, body: Json, answer: Answer) -> Json:
    text, finish = answer.text(), answer.finish_reason
    call = answer.prompt.call
    drawn = _images(answer.prompt.pictures)
    choices = [shape.choice(index, text, finish, call, drawn) for index in range(answer.prompt.choices)]
    usage = answer.usage()
    return envelope(shape, shape.whole, body, choices) | ({} if usage is None else {"usage": usage})


def envelope(shape: Shape, kind: str, body: Json, choices: list[Json]) -> Json:
    return {"id": shape.prefix, "object": kind, "created": CREATED, "model": body.get("model"), "choices": choices}


async def stream(
    request: web.Request, shape: Shape, body: Json, answer: Answer, record: Record, name: str
) -> web.StreamResponse:
    """Send server-sent events, one word a chunk."""
    asked = answer.prompt.directives
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    for chunk in chunks(shape, body, answer):
        if asked.delay or asked.endless:  # without a pause an endless answer would let nobody else run
            await asyncio.sleep(asked.delay)
        if asked.cut is not None and record.chunks >= asked.cut:
            hang_up(request, record)
            return response
        if asked.error is not None and record.chunks >= asked.error:
            await response.write(event(error_body("The model stopped working.", "server_error")))
            break
        await response.write(b"data: {this is not JSON\n\n" if asked.garbage else event(chunk | {"id": name}))
        record.chunks += 1
    else:
        await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def chunks(shape: Shape, body: Json, answer: Answer) -> Iterator[Json]:
    every = range(answer.prompt.choices)
    space = ""
    for word in answer.words():
        first = not space
        if call := answer.prompt.call:
            yield envelope(shape, shape.chunk, body, [call_delta(i, call, space + word, first=first) for i in every])
        else:
            yield envelope(shape, shape.chunk, body, [shape.delta(i, space + word, None, first=first) for i in every])
        space = " "
    for place in range(answer.prompt.pictures):
        image = {"images": [{**PICTURE, "index": place}]}
        drawn = [
            {"index": i, "delta": {"role": "assistant", "content": "", **image}, "finish_reason": None} for i in every
        ]
        yield envelope(shape, shape.chunk, body, drawn)
    finish = answer.finish_reason
    yield envelope(shape, shape.chunk, body, [shape.delta(index, None, finish) for index in every])
    wanted = (body.get("stream_options") or {}).get("include_usage")
    if wanted and (usage := answer.usage()) is not None:
        yield envelope(shape, shape.chunk, body, []) | {"usage": usage}


def _images(many: int) -> Json:
    return {"images": [{**PICTURE, "index": place} for place in range(many)]} if many else {}


def call_delta(index: int, call: Json, arguments: str, *, first: bool) -> Json:
    """The first names the function; the others are pieces of its arguments."""
    piece: Json = {"index": 0, "function": {"arguments": arguments}}
    if first:
        named = {"name": call["function"]["name"], "arguments": arguments}
        piece = {"index": 0, "id": call["id"], "type": "function", "function": named}
    delta: Json = {"tool_calls": [piece]}
    return {"index": index, "delta": {"role": "assistant", **delta} if first else delta, "finish_reason": None}


def event(data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def hang_up(request: web.Request, record: Record) -> None:
    record.outcome = "cut"
    if request.transport:
        request.transport.close()
