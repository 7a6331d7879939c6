"""OpenAI's errors."""

import asyncio

from aiohttp import web

from devstack.modelserver.answer import Json
from devstack.modelserver.directives import Directives


def error_body(message: str, kind: str, code: str | None = None) -> Json:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def refusal(status: int, message: str, code: str | None = None) -> web.Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    headers = {"Retry-After": "1"} if status == 429 else None
    return web.json_response(error_body(message, kind, code), status=status, headers=headers)


async def misbehave(directives: Directives) -> web.Response | None:
    await asyncio.sleep(directives.hang)
    if directives.status != 200:
        return refusal(directives.status, f"You asked for status {directives.status}.")
    return None
