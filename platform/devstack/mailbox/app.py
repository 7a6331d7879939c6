"""The mailbox's SMTP server and web application, in one event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from devstack.mailbox import pages
from devstack.mailbox.letters import Letters
from devstack.ports import HOST

LETTERS = web.AppKey("letters", Letters)
POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def application(letters: Letters, smtp_port: int) -> web.Application:
    """Serves the pages, `/api/messages?to=ADDRESS` (newest first), and SMTP on its own port."""
    app = web.Application(middlewares=[secured])
    app[LETTERS] = letters
    app.router.add_get("/", listing)
    app.router.add_get("/mail/{id}", reading)
    app.router.add_get("/api/messages", messages)
    app.router.add_get("/style.css", style)
    app.router.add_get("/readyz", ready)

    async def smtp(app: web.Application) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(Postman(letters), enable_SMTPUTF8=True), HOST, smtp_port)
        yield
        server.close()

    app.cleanup_ctx.append(smtp)
    return app


class Postman:
    """Keeps what comes over SMTP, and answers only when it is kept."""

    def __init__(self, letters: Letters) -> None:
        self._letters = letters

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        self._letters.keep(content if isinstance(content, bytes) else (content or "").encode(), envelope.rcpt_tos)
        return "250 kept"


@web.middleware
async def secured(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    response = await handler(request)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


async def listing(request: web.Request) -> web.Response:
    return html(pages.listing(request.app[LETTERS].newest()))


async def reading(request: web.Request) -> web.Response:
    letter = request.app[LETTERS].get(request.match_info["id"])
    if letter is None:
        raise web.HTTPNotFound
    return html(pages.reading(letter))


async def messages(request: web.Request) -> web.Response:
    found = request.app[LETTERS].newest(to=request.query.get("to"))
    return web.json_response([asdict(letter) for letter in found])


async def style(request: web.Request) -> web.Response:
    return web.Response(text=pages.STYLE, content_type="text/css")


async def ready(request: web.Request) -> web.Response:
    return web.json_response({"ok": True})


def html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")
