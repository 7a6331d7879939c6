"""The demo model server's routes."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from devstack.modelserver import embeddings as embedding
from devstack.modelserver import generation, media, responses, stored, videos
from devstack.modelserver.answer import Json
from devstack.modelserver.directives import Behaviour
from devstack.modelserver.errors import misbehave, refusal
from devstack.modelserver.generation import CHAT, CREATED, TEXT, Shape
from devstack.modelserver.records import Record, Records

MODELS = (
    "demo-chat",
    "demo-chat-large",
    "demo-embed",
    "demo-image",
    "demo-video",
    "demo-speech",
    "demo-transcription",
    "demo-moderation",
    "demo-rerank",
)
CREDENTIAL = web.AppKey("credential", str)
RECORDS = web.AppKey("records", Records)
BEHAVIOUR = web.AppKey("behaviour", Behaviour)
RECORD = "record"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(credential: str) -> web.Application:
    """The server, which lets in only those who show the credential (its control endpoints are open)."""
    app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[recorded])
    app[CREDENTIAL], app[RECORDS], app[BEHAVIOUR] = credential, Records(), Behaviour()
    app.router.add_get("/readyz", ready)
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/chat/completions", generate(CHAT))
    app.router.add_post("/v1/completions", generate(TEXT))
    app.router.add_post("/v1/embeddings", embed)
    for path, answer in media.ANSWERS.items():
        app.router.add_post(path, other(answer))
    stored.add_routes(app)
    responses.add_routes(app, app[BEHAVIOUR])
    videos.add_routes(app, app[BEHAVIOUR])
    app.router.add_get("/_control/requests", list_records)
    app.router.add_delete("/_control/requests", forget_records)
    app.router.add_post("/_control/behave", behave)
    return app


@web.middleware
async def recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check the credential and note what became of the request."""
    if not request.path.startswith("/v1/"):
        return await handler(request)
    raw, body = await _body(request)
    headers = {name: ", ".join(request.headers.getall(name)) for name in request.headers}
    record = request.app[RECORDS].add(request.method, request.path, headers, body, len(raw))
    request[RECORD] = record
    if request.headers.get("Authorization") != f"Bearer {request.app[CREDENTIAL]}":
        return finish(record, refusal(401, "Incorrect API key provided.", "invalid_api_key"))
    if request.method == "POST" and not isinstance(body, dict) and not request.path.endswith("/cancel"):
        return finish(record, refusal(400, "The body is not a JSON object."))
    request["body"] = body
    try:
        return finish(record, await handler(request))
    except (asyncio.CancelledError, ConnectionError):
        record.outcome = "disconnected"
        raise
    except web.HTTPNotFound as missing:
        return finish(record, missing)
    except (ValueError, TypeError) as error:
        return finish(record, refusal(400, str(error)))


async def _body(request: web.Request) -> tuple[bytes, Json | None]:
    """As bytes (none of a form) and as an object; a form's files are their bytes."""
    if request.content_type == "multipart/form-data":
        fields = await request.post()
        return b"", {name: one.file.read() if isinstance(one, web.FileField) else one for name, one in fields.items()}
    raw = await request.read()
    try:
        return raw, json.loads(raw) if raw else None
    except ValueError:
        return raw, None


def finish(record: Record, response: web.StreamResponse) -> web.StreamResponse:
    record.status = response.status
    if record.outcome == "running":
        record.outcome = "completed"
    return response


def generate(shape: Shape) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        body: Json = request["body"]
        prompt = generation.read_prompt(shape, body, request.app[BEHAVIOUR])
        if failure := await misbehave(prompt.directives):
            return failure
        return await generation.respond(request, shape, body, prompt, request[RECORD])

    return handler


async def embed(request: web.Request) -> web.StreamResponse:
    body: Json = request["body"]
    inputs = embedding.read_inputs(body)
    directives = embedding.directives_of(inputs, request.app[BEHAVIOUR])
    if failure := await misbehave(directives):
        return failure
    if directives.garbage:
        return web.Response(text="<html>this is not JSON", content_type="application/json")
    return web.json_response(embedding.embeddings(body, inputs, directives))


def other(answer: media.Answers) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        body: Json = request["body"]
        directives = request.app[BEHAVIOUR].next(media.text(body))
        if failure := await misbehave(directives):
            return failure
        if directives.garbage:
            return web.Response(text="<html>this is not JSON", content_type="application/json")
        return answer(body, directives)

    return handler


async def models(request: web.Request) -> web.Response:
    listing = [{"id": name, "object": "model", "created": CREATED, "owned_by": "demo"} for name in MODELS]
    return web.json_response({"object": "list", "data": listing})


async def ready(request: web.Request) -> web.Response:
    return web.json_response({"ok": True})


async def list_records(request: web.Request) -> web.Response:
    return web.json_response(request.app[RECORDS].listing())


async def forget_records(request: web.Request) -> web.Response:
    request.app[RECORDS].kept.clear()
    return web.json_response({"ok": True})


async def behave(request: web.Request) -> web.Response:
    order = await request.json()
    behaviour = request.app[BEHAVIOUR]
    behaviour.say, behaviour.times = str(order["say"]), int(order.get("times", 1))
    return web.json_response({"ok": True})
