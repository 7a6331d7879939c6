"""One request to the API: its key and version are checked, then it is answered, once per idempotency key."""

import asyncio
import hmac
import traceback

import orjson
from aiohttp import web

from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api import forms
from devstack.stripeserver.api.expanding import expanded
from devstack.stripeserver.api.idempotency import Result, Results
from devstack.stripeserver.api.parameters import list_of, read
from devstack.stripeserver.api.parameters import text as as_text
from devstack.stripeserver.api.problems import Problem, malformed
from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.faults import Fault, Faults
from devstack.stripeserver.resources.table import route_for
from devstack.stripeserver.store import Json
from devstack.stripeserver.version import VERSION

STEP_SECONDS = 0.05


class Api:
    """The API of one account."""

    def __init__(self, account: Account, results: Results, faults: Faults, secret_key: str) -> None:
        self.account, self.results, self.faults = account, results, faults
        self._secret_key = secret_key

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """What a request under `/v1/` gets."""
        name = new_id("req", 14)
        try:
            self._let_in(request)
            route, names = self._route(request)
            raw = await _parameters(request)
        except Problem as problem:
            return _response(problem.status, problem.body(), name)
        fault = self.faults.of_call(route.name)
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        try:
            earlier = key and self.results.begin(key, request.path, raw, name, self.account.now())
        except Problem as problem:
            return _response(problem.status, problem.body(), name)
        if isinstance(earlier, Result):
            return _replayed(earlier, name)
        return await self._first(request, route, raw, names, name, key, fault)

    async def _first(
        self,
        request: web.Request,
        route: Route,
        raw: Json,
        names: Json,
        name: str,
        key: str | None,
        fault: Fault | None,
    ) -> web.StreamResponse:
        kind = fault.fault if fault else ""
        if fault and kind == "slow":
            await asyncio.sleep(fault.seconds)
        status, body, executed = self._do(route, raw, names, name, key, kind)
        if key and executed:
            self.results.finish(key, status, orjson.dumps(body).decode())
        elif key:
            self.results.drop(key)
        if fault and kind == "late":
            await asyncio.sleep(fault.seconds)
        while kind == "never" and request.transport and not request.transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(STEP_SECONDS)
        if kind == "cut" and request.transport:
            request.transport.close()
        return _response(status, body, name)

    def _do(
        self, route: Route, raw: Json, names: Json, name: str, key: str | None, fault: str
    ) -> tuple[int, Json, bool]:
        """Status, body, and whether the operation began."""
        if fault == "error_before":
            return 500, _broken().body(), False
        if fault == "rate_limit":
            text = (
                "Request rate limit exceeded. Learn more about rate limits here: https://stripe.com/docs/rate-limits."
            )
            return 429, Problem(429, "invalid_request_error", text, code="rate_limit").body(), False
        self.account.request = {"id": name, "idempotency_key": key}
        try:
            paths = list_of(as_text)(raw.get("expand", []), "expand")
            given = read({part: value for part, value in raw.items() if part != "expand"}, route.parameters)
            answer = route.operation(self.account, given | names)
        except Problem as problem:
            return problem.status, problem.body(), problem.executed
        except Exception:
            traceback.print_exc()  # to the log: a mistake of ours
            return 500, _broken().body(), True
        finally:
            self.account.bell.ring()
        if fault == "error_after":
            return 500, _broken().body(), True
        try:
            return 200, expanded(self.account, answer, paths), True
        except Problem as problem:
            return problem.status, problem.body(), True

    def _let_in(self, request: web.Request) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if not given or scheme != "Bearer":
            text = "You did not provide an API key. You need to provide your API key in the Authorization header."
            raise Problem(401, "invalid_request_error", text)
        if not hmac.compare_digest(given.encode(), self._secret_key.encode()):
            shown = given[:8] + "*" * 8 + given[-4:] if len(given) > 20 else "****"
            raise Problem(401, "invalid_request_error", f"Invalid API Key provided: {shown}")
        if (version := request.headers.get("Stripe-Version", VERSION)) != VERSION:
            text = f"Invalid Stripe API version: {version[:40]}. The local Stripe speaks {VERSION} only."
            raise malformed(text)

    def _route(self, request: web.Request) -> tuple[Route, Json]:
        if found := route_for(request.method, request.path):
            return found
        text = f"Unrecognized request URL ({request.method}: {request.path}). The local Stripe may not have it."
        raise Problem(404, "invalid_request_error", text)


async def _parameters(request: web.Request) -> Json:
    if request.method == "POST":
        form = await request.post()
        return forms.decode((name, value) for name, value in form.items() if isinstance(value, str))
    return forms.decode(request.query.items())


def _broken() -> Problem:
    text = "An unknown error occurred."
    return Problem(500, "api_error", text)


def _replayed(earlier: Result, name: str) -> web.Response:
    response = _response(earlier.status, orjson.loads(earlier.body), name)
    response.headers["Idempotent-Replayed"] = "true"
    response.headers["Original-Request"] = earlier.request
    return response


def _response(status: int, body: Json, name: str) -> web.Response:
    headers = {"Request-Id": name, "Stripe-Version": VERSION}
    if status >= 500:
        # A retry with the same key would get the saved result.
        headers["Stripe-Should-Retry"] = "false"
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json", headers=headers)
