"""`/v1/videos`: queued first, ended after `!looks=N` looks. A second of its content is 24 bytes."""

from functools import partial
from typing import Any

from aiohttp import web

from devstack.modelserver.directives import Behaviour
from devstack.modelserver.errors import misbehave
from devstack.modelserver.stored import Shelf

Json = dict[str, Any]
CREATED = 1_767_225_600
FRAMES = 24
VIDEOS = web.AppKey("videos", Shelf)


async def create(behaviour: Behaviour, request: web.Request) -> web.StreamResponse:
    body = request["body"]
    asked = behaviour.next(str(body["prompt"]))
    if failure := await misbehave(asked):
        return failure
    name = request.app[VIDEOS].new_id()
    video: Json = {
        "id": name,
        "object": "video",
        "created_at": CREATED,
        "completed_at": None,
        "expires_at": None,
        "error": None,
        "model": body["model"],
        "progress": 0,
        "prompt": body["prompt"],
        "remixed_from_video_id": None,
        "seconds": str(body.get("seconds", "4")),
        "size": body.get("size", "720x1280"),
        "status": "queued",
    }
    request.app[VIDEOS].keep(name, {"video": video, "looks": asked.looks, "fail": asked.fail})
    return web.json_response(video)


async def retrieve(request: web.Request) -> web.Response:
    kept = request.app[VIDEOS].get(request)
    if kept["looks"] > 0:
        kept["looks"] -= 1
        return web.json_response({**kept["video"], "status": "in_progress", "progress": 50})
    if kept["fail"]:
        error = {"code": "moderation_blocked", "message": "The model stopped working."}
        return web.json_response({**kept["video"], "status": "failed", "error": error})
    return web.json_response({**kept["video"], "status": "completed", "progress": 100, "completed_at": CREATED})


async def content(request: web.Request) -> web.Response:
    video = request.app[VIDEOS].get(request)["video"]
    return web.Response(body=b"v" * FRAMES * int(video["seconds"]), content_type="video/mp4")


async def delete(request: web.Request) -> web.Response:
    request.app[VIDEOS].get(request)
    name = request.match_info["id"]
    del request.app[VIDEOS].kept[name]
    return web.json_response({"id": name, "object": "video.deleted", "deleted": True})


def add_routes(app: web.Application, behaviour: Behaviour) -> None:
    app[VIDEOS] = Shelf("video-demo")
    app.router.add_post("/v1/videos", partial(create, behaviour))
    app.router.add_get("/v1/videos/{id}", retrieve)
    app.router.add_delete("/v1/videos/{id}", delete)
    app.router.add_get("/v1/videos/{id}/content", content)
