"""Asking an upstream. Its failures become our errors, without its identity or its credentials."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import orjson
import structlog

from gateway import errors
from gateway.errors import ApiError
from gateway.offering.offer import OfferedRoute
from gateway.upstreams.hiding import hidden, hidden_error

log = structlog.get_logger(__name__)

LARGEST_ANSWER = 64 * 1024 * 1024
LARGEST_ERROR = 64 * 1024
TYPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class UpstreamError(Exception):
    """The upstream gave no usable answer. `outcome` is the usage log's word for it."""

    @property
    def is_its_failure(self) -> bool:
        """Whether another upstream might answer: it isn't what the client asked for that is wrong."""
        return self.outcome in ("upstream_error", "timeout")

    @property
    def is_busy(self) -> bool:
        return self.error is errors.UPSTREAM_BUSY

    def __init__(self, error: ApiError, outcome: str, *, status: int = 0, request_id: str = "") -> None:
        """`status` is the upstream's own, where it said no; `request_id` too, once its answer had a head: for our log,
        never for the client."""
        super().__init__(error.message)
        self.error = error
        self.outcome = outcome
        self.status = status
        self.request_id = request_id


class Upstreams:
    """One pool of connections to all upstreams."""

    def __init__(self, *, connect_seconds: float, idle_seconds: float, longest_seconds: float) -> None:
        self.patience = aiohttp.ClientTimeout(longest_seconds, sock_connect=connect_seconds, sock_read=idle_seconds)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30),
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        await self.session.close()

    @asynccontextmanager
    async def ask(
        self, route: OfferedRoute, path: str, body: bytes | aiohttp.FormData, *, request_id: str, method: str = "POST"
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask and give the answer once its head is there. Raises UpstreamError, inside the block too."""
        headers = {"X-Request-Id": request_id, "Accept-Encoding": "identity"}
        if isinstance(body, bytes) and body:
            headers["Content-Type"] = "application/json"
        patience = self.patience
        if route.idle_seconds:
            patience = aiohttp.ClientTimeout(
                patience.total, sock_connect=patience.sock_connect, sock_read=route.idle_seconds
            )
        if route.credential:
            headers["Authorization"] = f"Bearer {route.credential}"
        told = ""
        try:
            async with self.session.request(
                method,
                route.base_url + path,
                data=body or None,
                headers=headers,
                allow_redirects=False,
                timeout=patience,
            ) as response:
                told = request_id_of(response)
                if response.status != 200:
                    raise await _failure(response, route)
                yield response
        except UpstreamError as failure:
            failure.request_id = told
            raise
        except TimeoutError as error:
            raise UpstreamError(errors.UPSTREAM_TIMEOUT, "timeout", request_id=told) from error
        except aiohttp.ClientConnectorError as error:
            raise UpstreamError(errors.UPSTREAM_DOWN, "upstream_error") from error
        except aiohttp.ClientError as error:
            raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error", request_id=told) from error


async def read_answer(
    response: aiohttp.ClientResponse, having: frozenset[str], route: OfferedRoute
) -> dict[str, msgspec.Raw]:
    """The members of the whole answer, raw; it has one of `having`. Raises UpstreamError where it is, say, an error."""
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > LARGEST_ANSWER:
            raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
    try:
        answer = _members.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error") from None
    # What has a `status` may have failed: then its error is a part of the answer.
    failed = bytes(answer.get("error", b"null")) != b"null" and "status" not in answer
    if failed or not having.intersection(answer):
        raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
    if bytes(answer.get("error", b"null")) != b"null":
        answer["error"] = msgspec.Raw(msgspec.json.encode(hidden_error(decoded(answer["error"]), route)))
    return answer


def decoded(raw: msgspec.Raw | bytes) -> Any:
    """Raises UpstreamError for what is JSON by its looks alone: a number that nothing holds, nesting without end."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error") from None


def request_id_of(response: aiohttp.ClientResponse) -> str:
    """By what name the upstream knows this request; none where that says its credential. A header may hold any byte."""
    told = response.headers.get("x-request-id", "")
    credential = response.request_info.headers.get("Authorization", "").removeprefix("Bearer ")
    return "" if credential and credential in told else told[:200].encode("ascii", "replace").decode()


def type_of(response: aiohttp.ClientResponse) -> str:
    """What bytes are said to be; what no header can say is just bytes."""
    told = response.content_type
    return told if TYPE.fullmatch(told) else "application/octet-stream"


def require_stream(response: aiohttp.ClientResponse) -> None:
    """Raises UpstreamError where what comes is no stream of events."""
    if response.content_type != "text/event-stream":
        raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")


async def _failure(response: aiohttp.ClientResponse, route: OfferedRoute) -> UpstreamError:
    """What the client is told of an answer other than 200."""
    status = response.status
    content = await response.content.read(LARGEST_ERROR)
    log.warning("upstream refused", route=route.pk, status=status)
    if status in (401, 403, 407):
        # Our credential there is wrong; the client's key has nothing to do with it.
        return UpstreamError(errors.UPSTREAM_DOWN, "upstream_error")
    if status == 429:
        return UpstreamError(errors.UPSTREAM_BUSY, "upstream_error")
    if status in (402, 404):
        # Our account there, or our name of the model: nothing that the client could mend.
        return UpstreamError(errors.UPSTREAM_DOWN, "upstream_error", status=status)
    if 400 <= status < 500:
        return UpstreamError(_clients_fault(status, content, route), "refused")
    return UpstreamError(errors.UPSTREAM_DOWN if status == 503 else errors.UPSTREAM_BROKEN, "upstream_error")


def _clients_fault(status: int, content: bytes, route: OfferedRoute) -> ApiError:
    """The upstream's own words about the request, where they are an OpenAI error, without what tells who it is."""
    try:
        told = orjson.loads(content)["error"]
        message = hidden(str(told["message"]), route)
        param, code = told.get("param"), told.get("code")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        message, param, code = "The model refused this request.", None, None
    # What tells who it is, is no word that a program could use.
    kept = [one if isinstance(one, str) and hidden(one, route) == one else None for one in (param, code)]
    param, code = kept
    return ApiError(status, errors.INVALID, code, message, param)
