"""The gateway's side of the hot state: one connection, many requests in flight, one script call per decision.

Why valkey-glide: docs/decisions/0004-valkey-client.md.
"""

from urllib.parse import unquote, urlsplit

import msgspec
from glide import (
    BackoffStrategy,
    GlideClient,
    GlideClientConfiguration,
    GlideError,
    NodeAddress,
    Script,
    ServerCredentials,
)

from hotstate import names, scripts
from hotstate.errors import Unreachable
from hotstate.publish import clamp
from hotstate.records import KeyRecord

REQUEST_TIMEOUT_MS = 1_000

_DECIDE = Script(scripts.DECIDE)
_SETTLE = Script(scripts.SETTLE)
_RELEASE = Script(scripts.RELEASE)
_RENEW = Script(scripts.RENEW)
_key_record = msgspec.json.Decoder(KeyRecord)


class HotState:
    """Valkey as the inference path uses it. Every method raises Unreachable where there is no answer in time."""

    def __init__(self, url: str) -> None:
        self._configuration = _configuration(url)
        self._client: GlideClient | None = None

    async def close(self) -> None:
        if self._client:
            await self._client.close()

    async def decide(
        self, record: KeyRecord, request_id: str, *, found: str, hold_nanos: int | None, now_ms: int, lease_ms: int
    ) -> list[bytes]:
        """Ask the script; the first item is a verdict, `missing`, or `stale` (the second is then the newer record)."""
        return await self._call(
            _DECIDE,
            names.decision_keys(record.org, record.key),
            [now_ms, request_id, record.version, found, "" if hold_nanos is None else clamp(hold_nanos), lease_ms],
        )

    async def settle(self, org: str, request_id: str, charge_nanos: int) -> bool:
        """Turn an open hold into the exact charge. False where there was none."""
        return bool(await self._call(_SETTLE, names.decision_keys(org), [request_id, clamp(charge_nanos)]))

    async def release(self, org: str, request_id: str) -> bool:
        """Take away the hold of a request that will have no event."""
        return bool(await self._call(_RELEASE, names.decision_keys(org), [request_id]))

    async def renew(self, org: str, request_ids: list[str], until_ms: int) -> None:
        """Put off the lapse of open holds."""
        await self._call(_RENEW, names.decision_keys(org), [until_ms, *request_ids])

    async def find(self, digest: str) -> KeyRecord | None:
        """Look a secret's digest up in the index."""
        where = await self._get(names.digest_index(digest))
        if where is None:
            return None
        org, key = where.decode().split(" ")
        client = await self._connected()
        try:
            raw = await client.hget(names.decision_keys(org, key)[1], "record")
        except GlideError as error:
            raise Unreachable(str(error)) from error
        return _key_record.decode(raw) if raw else None

    async def catalog_version(self) -> int:
        """A number that grows with each change of models, routes or prices."""
        return int(await self._get(names.CATALOG_VERSION) or 0)

    async def ping(self) -> None:
        """Return where Valkey answers."""
        await self._get(names.CATALOG_VERSION)

    @staticmethod
    def parse_record(raw: bytes) -> KeyRecord:
        return _key_record.decode(raw)

    async def _call(self, script: Script, keys: list[str], arguments: list[object]) -> list[bytes]:
        client = await self._connected()
        try:
            answer: list[bytes] = await client.invoke_script(script, keys=keys, args=[str(item) for item in arguments])
        except GlideError as error:
            raise Unreachable(str(error)) from error
        return answer

    async def _get(self, name: str) -> bytes | None:
        client = await self._connected()
        try:
            return await client.get(name)
        except GlideError as error:
            raise Unreachable(str(error)) from error

    async def _connected(self) -> GlideClient:
        if self._client is None:
            try:
                self._client = await GlideClient.create(self._configuration)
            except GlideError as error:
                raise Unreachable(str(error)) from error
        return self._client


def _configuration(url: str) -> GlideClientConfiguration:
    parts = urlsplit(url)
    credentials = (
        ServerCredentials(unquote(parts.password), unquote(parts.username or "") or None) if parts.password else None
    )
    return GlideClientConfiguration(
        addresses=[NodeAddress(parts.hostname or "127.0.0.1", parts.port or 6379)],
        use_tls=parts.scheme in ("rediss", "valkeys"),
        credentials=credentials,
        database_id=int(parts.path.strip("/") or 0),
        request_timeout=REQUEST_TIMEOUT_MS,
        # Short steps for ever: a Valkey that comes back is used within half a second.
        reconnect_strategy=BackoffStrategy(num_of_retries=5, factor=100, exponent_base=2, jitter_percent=20),
        client_name="keymeter-gateway",
        inflight_requests_limit=20_000,
    )
