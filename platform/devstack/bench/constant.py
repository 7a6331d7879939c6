"""The limit for any decision over HTTP: the gateway's server parses the same request and answers the same each time."""

from gateway.http.incoming import Incoming, Receive, Scope, Send

# As large as the gateway's own.
HEADERS = [
    (b"content-type", b"text/plain"),
    (b"x-request-id", b"01a1fbf2-dbe8-7468-8a90-0ca20661f9e2"),
    (b"content-length", b"0"),
    (b"x-key-id", b"key_00000000000000000000"),
    (b"x-org-id", b"org_00000000000000000000"),
    (b"x-plan", b""),
    (b"x-scopes", b"chat,embeddings,models"),
    (b"x-models", b""),
    (b"x-model-checked", b"true"),
    (b"x-hold", b"10000000"),
    (b"x-route", b"1"),
]


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI application."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    Incoming(scope, receive)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
