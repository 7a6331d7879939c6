"""Chat completions that were asked for with `store`: kept in memory, given and deleted by their ids."""

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from devstack.modelserver.errors import error_body

Json = dict[str, Any]
MOST = 10_000


@dataclass
class Shelf:
    """Things by their ids; the oldest go first. Ids count: `PREFIX-1`, `PREFIX-2`."""

    prefix: str
    kept: dict[str, Json] = field(default_factory=dict)
    _made: int = 0

    def new_id(self) -> str:
        self._made += 1
        return f"{self.prefix}-{self._made}"

    def keep(self, name: str, thing: Json) -> None:
        self.kept[name] = thing
        if len(self.kept) > MOST:
            del self.kept[next(iter(self.kept))]

    def get(self, request: web.Request) -> Json:
        """What the URL names. Raises HTTPNotFound."""
        name = request.match_info["id"]
        if name not in self.kept:
            said = error_body(f"Nothing with id {name!r} found.", "invalid_request_error", "not_found")
            raise web.HTTPNotFound(text=web.json_response(said).text, content_type="application/json")
        return self.kept[name]


CHATS = web.AppKey("chats", Shelf)


def page(request: web.Request, things: list[Json]) -> web.Response:
    """OpenAI's list of things with ids: `limit`, `after` and `order` choose."""
    ordered = things[::-1] if request.query.get("order") == "desc" else things
    names = [thing["id"] for thing in ordered]
    after = request.query.get("after")
    start = names.index(after) + 1 if after in names else 0
    limit = int(request.query.get("limit", 20))
    shown = ordered[start : start + limit]
    ends = {"first_id": shown[0]["id"] if shown else None, "last_id": shown[-1]["id"] if shown else None}
    more = start + limit < len(ordered)
    return web.json_response({"object": "list", "data": shown, **ends, "has_more": more})


async def get_chat(request: web.Request) -> web.Response:
    return web.json_response(request.app[CHATS].get(request)["completion"])


async def change_chat(request: web.Request) -> web.Response:
    completion = request.app[CHATS].get(request)["completion"]
    completion["metadata"] = request["body"].get("metadata")
    return web.json_response(completion)


async def delete_chat(request: web.Request) -> web.Response:
    request.app[CHATS].get(request)
    name = request.match_info["id"]
    del request.app[CHATS].kept[name]
    return web.json_response({"object": "chat.completion.deleted", "id": name, "deleted": True})


async def messages_of_chat(request: web.Request) -> web.Response:
    chat = request.app[CHATS].get(request)
    name = chat["completion"]["id"]
    messages = [{"id": f"{name}-{place}", **message} for place, message in enumerate(chat["messages"])]
    return page(request, messages)


def keep_chat(app: web.Application, body: Json, completion: Json) -> None:
    """As it would have been answered whole."""
    kept = {**completion, "metadata": body.get("metadata")}
    app[CHATS].keep(completion["id"], {"completion": kept, "messages": body["messages"]})


def add_routes(app: web.Application) -> None:
    app[CHATS] = Shelf("chatcmpl-demo")
    app.router.add_get("/v1/chat/completions/{id}", get_chat)
    app.router.add_post("/v1/chat/completions/{id}", change_chat)
    app.router.add_delete("/v1/chat/completions/{id}", delete_chat)
    app.router.add_get("/v1/chat/completions/{id}/messages", messages_of_chat)
