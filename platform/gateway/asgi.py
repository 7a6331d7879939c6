"""The gateway process: raw ASGI, no Django middleware. Which paths it owns, the dialect says."""

import gc
import os
from typing import Any

import django
import orjson
from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from config.checks import refuse_bad_settings  # noqa: E402

refuse_bad_settings(needs=["GATEWAY_CREDENTIAL"])

from gateway.http.incoming import Incoming, Receive, Scope, Send  # noqa: E402
from gateway.http.outgoing import Outgoing  # noqa: E402
from gateway.http.request_ids import new_request_id  # noqa: E402
from gateway.service import Gateway  # noqa: E402

YOUNG_OBJECTS = 20_000


class Application:
    """The ASGI application; its gateway lives from the server's start to its stop."""

    gateway: Gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_request_id()
        incoming, outgoing = Incoming(scope, receive), Outgoing(send, str(request_id))
        if incoming.path == "/healthz":
            await outgoing.whole(200, b'{"ok":true}')
        elif incoming.path == "/readyz":
            failures = await self.gateway.failing()
            body: dict[str, Any] = {"ok": not failures, "failing": failures}
            await outgoing.whole(503 if failures else 200, orjson.dumps(body))
        elif incoming.path == "/metrics" and incoming.bears(settings.METRICS_TOKEN):
            await outgoing.whole(200, generate_latest(), content_type=CONTENT_TYPE_LATEST)
        else:
            await self.gateway.answer(incoming, outgoing, request_id)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.gateway = Gateway()
        await self.gateway.start()
        # What was loaded stays for good. Looked through again and again, it would hold up every request by 100 ms.
        gc.collect()
        gc.freeze()
        # What a request leaves behind goes without the collector: it need not look every 700 objects.
        gc.set_threshold(YOUNG_OBJECTS)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.gateway.stop()
        await send({"type": "lifespan.shutdown.complete"})


application = Application()
