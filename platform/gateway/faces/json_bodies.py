"""What other gateways' code sends to the JSON face: validated here, once."""

from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from billing import lines
from gateway import errors
from gateway.http.request_ids import moment_of

T = TypeVar("T")
Units = Annotated[int, Meta(ge=0, le=10**9)]
OrganizationId = Annotated[str, Meta(pattern=r"^org_[0-9A-Za-z]{1,40}$")]
KeyId = Annotated[str, Meta(pattern=r"^key_[0-9A-Za-z]{1,40}$")]


class Verify(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """May this key make this request? `key` is the customer's secret.

    `units` are what it counts at most besides tokens, by meter: `{"images": 2}`.
    """

    key: str
    endpoint: str
    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    address: Annotated[str, Meta(max_length=64)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    input_tokens: Units | None = None
    input_bytes: Units | None = None
    units: dict[str, Units] = {}
    variant: Annotated[str, Meta(max_length=60)] = ""
    request_id: UUID | None = None


class Settle(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How a verified request went: a usage line without what the log adds. `tokens` is what verify estimated."""

    request_id: UUID
    key: KeyId
    org: OrganizationId
    model: str
    endpoint: str
    status: int
    outcome: str
    usage: dict[str, int]
    secret: str = ""
    variant: str = ""
    stream: bool = False
    ended: datetime | None = None
    ttft_ms: int | None = None
    attempts: int = 1
    route: str = ""
    upstream_request_id: str = ""
    estimated: bool = False
    tags: dict[str, str] = {}
    tokens: Units | None = None

    def line(self, *, via: str) -> dict[str, Any]:
        """The fields of its usage line; `via` is the gateway that answered, whichever way the line came to us.

        Raises ApiError where the worker would quarantine the line for its shape.
        """
        fields = msgspec.structs.asdict(self)
        del fields["tokens"]
        fields |= {"id": fields.pop("request_id"), "time": moment_of(self.request_id), "via": via}
        try:
            lines.parse(lines.encode(lines.UsageLine(v=1, source="gw", seq=1, **fields)))
        except (lines.LineError, UnicodeEncodeError, OverflowError) as error:
            raise errors.bad_request(f"This is no usage line: {error}.") from None
        return fields


class Release(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A verified request that never was: its hold goes. `tokens`, what verify estimated, the hold knows by itself."""

    request_id: UUID
    org: OrganizationId
    tokens: Units | None = None


_decoders: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Verify, Settle, Release)
}


def read(kind: type[T], body: bytes) -> T:
    """Raises ApiError where the body isn't such."""
    try:
        found: T = _decoders[kind].decode(body)
    except msgspec.ValidationError as error:
        raise errors.bad_request(f"The body is not what is expected: {error}.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.NOT_JSON from None
    return found
