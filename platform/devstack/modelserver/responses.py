"""`/v1/responses`: the same answers as a chat's, whole, streamed or in the background, kept unless `store` is false.

A response that goes on another's has its input and output before its own. One in the background is `queued` until it
was asked for `!looks=N` times (twice, unless it says so), and `!endless` never ends.
"""

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from aiohttp import web

from devstack.modelserver.answer import Answer, Json, Prompt, text_of
from devstack.modelserver.directives import Behaviour
from devstack.modelserver.errors import misbehave
from devstack.modelserver.records import Record
from devstack.modelserver.stored import Shelf, page

CREATED = 1_767_225_600
RESPONSES = web.AppKey("responses", Shelf)
TERMINAL = {"completed", "incomplete", "failed", "cancelled"}


def items_of(body: Json) -> list[Json]:
    given = body.get("input")
    if isinstance(given, str) and given:
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    if not isinstance(given, list) or not given:
        raise ValueError("input: a text or a list of items is expected")
    return given


def text_in(item: Json) -> str:
    return text_of(item.get("content") or item.get("output") or "")


def read_prompt(body: Json, earlier: list[Json], behaviour: Behaviour) -> Prompt:
    texts = [text_in(item) for item in [*earlier, *items_of(body)]]
    if body.get("instructions"):
        texts.insert(0, str(body["instructions"]))
    return Prompt(texts, body.get("max_output_tokens"), 1, behaviour.next(texts[-1]))


def earlier_of(app: web.Application, body: Json) -> list[Json]:
    """What was said before. Raises ValueError where it isn't kept."""
    name = body.get("previous_response_id")
    if not name:
        return []
    if name not in app[RESPONSES].kept:
        raise ValueError(f"Previous response with id '{name}' not found.")
    kept = app[RESPONSES].kept[name]
    return [*kept["earlier"], *kept["input"], *kept["response"]["output"]]


def usage_of(answer: Answer) -> Json | None:
    usage = answer.usage()
    if usage is None:
        return None
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {"cached_tokens": answer.prompt.directives.cached or 0},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": answer.prompt.directives.reasoning},
        "total_tokens": usage["total_tokens"],
    }


def ended(name: str, body: Json, answer: Answer) -> Json:
    """The response as it is in the end."""
    asked = answer.prompt.directives
    cut_short = answer.finish_reason == "length"
    status = "failed" if asked.fail else "incomplete" if cut_short else "completed"
    text = {"type": "output_text", "text": answer.text(), "annotations": []}
    message = {"id": f"msg-{name}", "type": "message", "role": "assistant", "status": status, "content": [text]}
    return {
        **begun(name, body, status),
        "output": [] if asked.fail else [message],
        "usage": usage_of(answer),
        "error": {"code": "server_error", "message": "The model stopped working."} if asked.fail else None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut_short else None,
    }


def begun(name: str, body: Json, status: str) -> Json:
    return {
        "id": name,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": bool(body.get("background")),
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": body.get("model"),
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
    }


def events_of(response: Json, answer: Answer) -> Iterator[Json]:
    """Everything that a stream says, numbered."""
    told = (numbered for numbered in _events(response, answer))
    for number, event in enumerate(told):
        yield {**event, "sequence_number": number}


def _events(response: Json, answer: Answer) -> Iterator[Json]:
    fresh = {**response, "status": "in_progress", "output": [], "usage": None, "error": None}
    fresh["incomplete_details"] = None
    place: Json = {"item_id": f"msg-{response['id']}", "output_index": 0, "content_index": 0}
    yield {"type": "response.created", "response": fresh}
    yield {"type": "response.in_progress", "response": fresh}
    if response["output"]:
        message = response["output"][0]
        empty = {"type": "output_text", "text": "", "annotations": []}
        started = {**message, "status": "in_progress", "content": []}
        yield {"type": "response.output_item.added", "output_index": 0, "item": started}
        yield {"type": "response.content_part.added", **place, "part": empty}
        space = ""
        for word in answer.words():
            yield {"type": "response.output_text.delta", **place, "delta": space + word, "logprobs": []}
            space = " "
        text = message["content"][0]["text"]
        yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
        yield {"type": "response.content_part.done", **place, "part": message["content"][0]}
        yield {"type": "response.output_item.done", "output_index": 0, "item": message}
    yield {"type": f"response.{response['status']}", "response": response}


async def create(behaviour: Behaviour, request: web.Request) -> web.StreamResponse:
    app, body = request.app, request["body"]
    earlier = earlier_of(app, body)
    prompt = read_prompt(body, earlier, behaviour)
    if failure := await misbehave(prompt.directives):
        return failure
    answer = Answer(prompt)
    name = app[RESPONSES].new_id()
    endless = prompt.directives.endless
    response = begun(name, body, "queued") if endless else ended(name, body, answer)
    background = bool(body.get("background"))
    looks = prompt.directives.looks if background else 0
    if body.get("store") is not False:
        kept = {"response": response, "input": items_of(body), "earlier": earlier, "looks": looks, "answer": answer}
        app[RESPONSES].keep(name, kept)
    if body.get("stream"):
        return await stream(request, response, answer)
    if background:
        return web.json_response(begun(name, body, "queued"))
    return web.json_response(response)


async def stream(request: web.Request, response: Json, answer: Answer, after: int = -1) -> web.StreamResponse:
    record: Record = request["record"]
    asked = answer.prompt.directives
    told = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await told.prepare(request)
    for event in events_of(response, answer):
        if event["sequence_number"] <= after:
            continue
        await asyncio.sleep(asked.delay)
        if asked.cut is not None and record.chunks >= asked.cut and after < 0:
            record.outcome = "cut"
            if request.transport:
                request.transport.close()
            return told
        if asked.error is not None and record.chunks >= asked.error:
            event = {"type": "error", "code": "server_error", "message": "The model stopped.", "param": None}
            await told.write(framed(event))
            break
        await told.write(framed(event))
        record.chunks += 1
    await told.write_eof()
    return told


def framed(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


async def retrieve(request: web.Request) -> web.StreamResponse:
    kept = request.app[RESPONSES].get(request)
    if request.query.get("stream") == "true":
        kept["looks"] = 0
        after = int(request.query.get("starting_after", -1))
        return await stream(request, kept["response"], kept["answer"], after)
    if kept["looks"] > 0:
        kept["looks"] -= 1
        body = {**kept["response"], "background": True}
        return web.json_response({**begun(body["id"], body, "in_progress"), "model": body["model"]})
    return web.json_response(kept["response"])


async def cancel(request: web.Request) -> web.Response:
    kept = request.app[RESPONSES].get(request)
    if not kept["response"]["background"]:
        raise ValueError("Cannot cancel a synchronous response.")
    if kept["looks"] > 0 or kept["response"]["status"] not in TERMINAL:
        cancelled: Json = {**kept["response"], "status": "cancelled", "output": [], "usage": None, "error": None}
        kept["response"], kept["looks"] = cancelled, 0
    return web.json_response(kept["response"])


async def delete(request: web.Request) -> web.Response:
    request.app[RESPONSES].get(request)
    name = request.match_info["id"]
    del request.app[RESPONSES].kept[name]
    return web.json_response({"id": name, "object": "response", "deleted": True})


async def input_items(request: web.Request) -> web.Response:
    kept = request.app[RESPONSES].get(request)
    name = kept["response"]["id"]
    items: list[Any] = [{**item, "id": f"in-{name}-{place}"} for place, item in enumerate(kept["input"])]
    return page(request, items)


def add_routes(app: web.Application, behaviour: Behaviour) -> None:
    app[RESPONSES] = Shelf("resp-demo")
    app.router.add_post("/v1/responses", partial(create, behaviour))
    app.router.add_get("/v1/responses/{id}", retrieve)
    app.router.add_delete("/v1/responses/{id}", delete)
    app.router.add_post("/v1/responses/{id}/cancel", cancel)
    app.router.add_get("/v1/responses/{id}/input_items", input_items)
