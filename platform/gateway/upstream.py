"""Asking an upstream. Its failures become our errors, without its identity or its credentials."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
import structlog

from gateway import errors
from gateway.errors import ApiError
from gateway.offer import OfferedRoute

log = structlog.get_logger(__name__)

LARGEST_ANSWER = 64 * 1024 * 1024
LARGEST_ERROR = 64 * 1024


class UpstreamError(Exception):
    """The upstream gave no usable answer. `outcome` is the usage log's word for it."""

    def __init__(self, error: ApiError, outcome: str) -> None:
        super().__init__(error.message)
        self.error = error
        self.outcome = outcome


class Upstreams:
    """One pool of connections to all upstreams."""

    def __init__(self, *, connect_seconds: float, idle_seconds: float) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=30),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds, sock_read=idle_seconds),
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        await self.session.close()

    @asynccontextmanager
    async def ask(
        self, route: OfferedRoute, path: str, body: bytes, *, request_id: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Post and give the answer once its head is there. Raises UpstreamError, inside the block too."""
        headers = {"Content-Type": "application/json", "X-Request-Id": request_id, "Accept-Encoding": "identity"}
        if route.credential:
            headers["Authorization"] = f"Bearer {route.credential}"
        try:
            async with self.session.post(
                route.base_url + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise await _failure(response, route)
                yield response
        except TimeoutError as error:
            raise UpstreamError(errors.UPSTREAM_TIMEOUT, "timeout") from error
        except aiohttp.ClientConnectorError as error:
            raise UpstreamError(errors.UPSTREAM_DOWN, "upstream_error") from error
        except aiohttp.ClientError as error:
            raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error") from error


async def read_json(response: aiohttp.ClientResponse) -> dict[str, object]:
    """The whole answer, an object. Raises UpstreamError."""
    content = await response.content.read(LARGEST_ANSWER + 1)
    while len(content) <= LARGEST_ANSWER and not response.content.at_eof():
        content += await response.content.read(LARGEST_ANSWER + 1 - len(content))
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        answer = None
    if len(content) > LARGEST_ANSWER or not isinstance(answer, dict):
        raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
    return answer


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
    if 400 <= status < 500:
        return UpstreamError(_clients_fault(status, content), "refused")
    return UpstreamError(errors.UPSTREAM_DOWN if status == 503 else errors.UPSTREAM_BROKEN, "upstream_error")


def _clients_fault(status: int, content: bytes) -> ApiError:
    """The upstream's own words about the request, where they are an OpenAI error."""
    try:
        told = orjson.loads(content)["error"]
        message, param, code = str(told["message"])[:2000], told.get("param"), told.get("code")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        message, param, code = "The model refused this request.", None, None
    param, code = (value if isinstance(value, str) else None for value in (param, code))
    return ApiError(status, errors.INVALID, code, message, param)
