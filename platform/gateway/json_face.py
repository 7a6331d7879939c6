"""The JSON face: a gateway's own code asks with verify, and ends with settle or release."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
import structlog
from django.db import Error as DatabaseError
from msgspec import Meta

from accounts.models import ApiKey
from billing import lines, meters
from billing.rating import UnpricedError, outcome_charge
from gateway import counting, errors, metrics
from gateway.counting import Counted
from gateway.database import in_thread
from gateway.endpoints import BY_NAME, MODELS_SCOPE
from gateway.faces import Case, Cases, Judged
from gateway.incoming import Incoming
from gateway.models import GatewayCredential
from gateway.offer import OfferWatch
from gateway.outgoing import Outgoing
from gateway.own_key import described_limits
from gateway.refusing import refusal_of
from gateway.request_ids import BROUGHT_WITHIN_MS, milliseconds_of, moment_of
from gateway.spoken import spoken
from gateway.usage_log import UsageLog
from hotstate.errors import Unreachable
from hotstate.fast import HotState

log = structlog.get_logger(__name__)

# For gateways, whatever dialect their customers speak.
VERIFY_PATH, SETTLE_PATH, RELEASE_PATH = "/v1/keys/verify", "/v1/keys/settle", "/v1/keys/release"
PATHS = (VERIFY_PATH, SETTLE_PATH, RELEASE_PATH)
LARGEST_BODY = 64 * 1024
BODY_SECONDS = 10.0
MODELS_NAME = "models"
NO_SUCH_KEY = errors.bad_request("There is no such key of that organization.", param="key")

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


class Release(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A verified request that never was: its hold goes."""

    request_id: UUID
    org: OrganizationId


_verify = msgspec.json.Decoder(Verify)
_settle = msgspec.json.Decoder(Settle)
_release = msgspec.json.Decoder(Release)


class JsonFace:
    def __init__(self, cases: Cases, hotstate: HotState, watch: OfferWatch, usage_log: UsageLog) -> None:
        self._cases = cases
        self._hotstate = hotstate
        self._watch = watch
        self._usage_log = usage_log

    async def answer(
        self, path: str, credential: GatewayCredential, incoming: Incoming, outgoing: Outgoing, request_id: UUID
    ) -> None:
        """Answer one of PATHS. Raises ApiError, and Unreachable where nobody can decide."""
        body = await incoming.body(LARGEST_BODY, within=BODY_SECONDS)
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        if path == VERIFY_PATH:
            answer = await self._verified(_read(_verify.decode, body), credential, request_id, now_ms)
        elif path == SETTLE_PATH:
            answer = await self._settled(_read(_settle.decode, body), credential, now_ms)
        else:
            released = _read(_release.decode, body)
            gone = False
            if credential.serves(released.org) and await self._may_end(credential, released.org, released.request_id):
                gone = await self._hotstate.release(released.org, str(released.request_id))
                self._cases.ended(released.org, released.request_id)
            metrics.holds.labels("released").inc(int(gone))
            answer = {"request_id": str(released.request_id), "released": gone}
        await outgoing.whole(200, msgspec.json.encode(answer))

    async def _verified(
        self, asked: Verify, credential: GatewayCredential, minted: UUID, now_ms: int
    ) -> dict[str, Any]:
        endpoint = BY_NAME.get(asked.endpoint)
        if endpoint is None and asked.endpoint != MODELS_NAME:
            known = ", ".join([*BY_NAME, MODELS_NAME])
            raise errors.bad_request(f"`endpoint` has to be one of {known}.", param="endpoint")
        if unknown := ", ".join(asked.units.keys() - set(meters.METERS)):
            raise errors.bad_request(f"`units` has meters that there aren't: {unknown[:200]}.", param="units")
        if asked.request_id is not None:
            _check_version(asked.request_id)
            if abs(milliseconds_of(asked.request_id) - now_ms) > BROUGHT_WITHIN_MS:
                raise errors.bad_request(
                    f"`request_id` is not within {BROUGHT_WITHIN_MS // 1000} s of now.", param="request_id"
                )
        case = Case(
            request_id=asked.request_id or minted,
            scope=endpoint.scope if endpoint else MODELS_SCOPE,
            endpoint=endpoint,
            model=asked.model,
            address=asked.address,
            # What is counted besides tokens, only the gateway that asks can know.
            size_known=endpoint is None or endpoint.counted is counting.nothing or bool(asked.units),
            counted=Counted(asked.units, asked.variant),
            input_tokens=asked.input_tokens,
            input_bytes=asked.input_bytes,
            face="verify",
            holder=str(credential.pk),
            output_tokens=asked.max_output_tokens if endpoint and endpoint.has_output else None,
            brought=asked.request_id is not None,
        )
        return _told(await self._cases.judge(case, asked.key, credential))

    async def _settled(self, ended: Settle, credential: GatewayCredential, now_ms: int) -> dict[str, Any]:
        """The line first, then the hold, as for our own requests. Where Unreachable is raised, nothing was written."""
        offer = self._watch.offer
        if offer is None or self._usage_log.blocked:
            raise errors.UNAVAILABLE
        _check_version(ended.request_id)
        if milliseconds_of(ended.request_id) > now_ms + BROUGHT_WITHIN_MS:
            raise errors.bad_request("`request_id` is of the future.", param="request_id")
        if not credential.serves(ended.org):
            raise NO_SUCH_KEY
        record = await self._hotstate.record(ended.org, ended.key)
        if record is None and not await _exists(ended.org, ended.key):
            raise NO_SUCH_KEY
        if not await self._may_end(credential, ended.org, ended.request_id):
            raise errors.REQUEST_ID_USED
        fields = msgspec.structs.asdict(ended)
        estimated_tokens = fields.pop("tokens")
        fields["id"] = fields.pop("request_id")
        fields["time"] = moment_of(ended.request_id)
        # Made by the gateway that answered, whichever way the line came to us.
        fields["via"] = credential.name
        _check_line(fields)
        model = offer.models.get(ended.model)
        organization = await self._hotstate.organization(ended.org)
        # Without its terms nobody here knows what it costs: the worker does.
        priced = offer.priced(model, fields["time"], organization) if model and organization else None
        nanos = None
        try:
            if priced:
                nanos, _ = outcome_charge(
                    ended.outcome,
                    ended.usage,
                    priced.tariff,
                    estimated=ended.estimated,
                    multipliers=priced.multipliers,
                    variant=ended.variant,
                )
        except (UnpricedError, OverflowError):
            # The worker quarantines the line; until a person looks, nothing is known to charge.
            nanos = 0
        self._usage_log.append(**fields, charge_nanos=nanos)
        self._cases.ended(ended.org, ended.request_id)
        settled = False
        if record is not None and nanos is not None:
            tokens = meters.tokens(ended.usage)
            estimated = tokens if estimated_tokens is None else estimated_tokens
            elapsed_ms = now_ms - milliseconds_of(ended.request_id)
            try:
                settled = await self._hotstate.settle(
                    record, str(ended.request_id), nanos, estimated=estimated, taken=tokens, elapsed_ms=elapsed_ms
                )
                metrics.holds.labels("settled").inc(int(settled))
            except Unreachable:
                log.warning("hold not settled; it goes when the line is posted", request=str(ended.request_id))
        return {"request_id": str(ended.request_id), "settled": settled, "charge": nanos}

    async def _may_end(self, credential: GatewayCredential, org: str, request_id: UUID) -> bool:
        """Whether the request is nobody else's, as far as is known. Raises Unreachable."""
        return await self._hotstate.holder(org, str(request_id)) in ("", str(credential.pk))


def _told(judged: Judged) -> dict[str, Any]:
    decision, record = judged.decision, judged.identity.record if judged.identity else None
    error = None if judged.allowed else spoken(refusal_of(decision, judged.question))
    waits = error is not None and "retry-after-ms" in error.headers
    return {
        "valid": judged.allowed,
        "code": decision.verdict,
        "request_id": judged.question.request_id,
        "hold": judged.hold_nanos,
        "tokens": judged.question.tokens,
        "key": record.key if record else None,
        "org": record.org if record else None,
        "plan": judged.identity.organization.plan if judged.identity else "",
        "scopes": sorted(record.scopes) if record else [],
        "models": sorted(judged.models),
        "route": judged.route or None,
        "model_checked": judged.model_checked,
        "limits": described_limits(decision.limits),
        "retry_after_ms": decision.wait_ms if waits else None,
        "status": error.status if error else 200,
        "error": msgspec.Raw(error.body) if error else None,
    }


def _read(decode: Callable[[bytes], T], body: bytes) -> T:
    """Raises ApiError where the body isn't what is expected."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise errors.bad_request(f"The body is not what is expected: {error}.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.NOT_JSON from None


def _check_version(request_id: UUID) -> None:
    if request_id.version != 7:
        raise errors.bad_request("`request_id` has to be a UUIDv7.", param="request_id")


def _check_line(fields: dict[str, Any]) -> None:
    """Raises ApiError where the worker would quarantine the line for its shape."""
    try:
        lines.parse(lines.encode(lines.UsageLine(v=1, source="gw", seq=1, **fields)))
    except (lines.LineError, UnicodeEncodeError, OverflowError) as error:
        raise errors.bad_request(f"This is no usage line: {error}.") from None


async def _exists(org: str, key: str) -> bool:
    """Whether PostgreSQL has that key: Valkey may have lost it. Raises Unreachable."""
    try:
        found = ApiKey.objects.filter(public_id=key, organization__public_id=org)
        return await in_thread(found.exists)
    except DatabaseError as error:
        raise Unreachable("PostgreSQL: " + str(error)) from error
