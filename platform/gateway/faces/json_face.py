"""The JSON face: a gateway's own code asks with verify, and ends with settle or release."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from accounts.models import ApiKey
from billing import meters
from gateway import errors
from gateway.asking.counting import Counted
from gateway.asking.endpoints import BY_NAME, MODELS_SCOPE
from gateway.database import in_thread, needing_postgres
from gateway.deciding.refusing import refusal_of
from gateway.deciding.settling import charge_of, release, settle
from gateway.faces.cases import Case, Cases, Judged
from gateway.faces.json_bodies import Release, Settle, Verify, read
from gateway.http.incoming import Incoming
from gateway.http.outgoing import Outgoing
from gateway.http.request_ids import BROUGHT_WITHIN_MS, milliseconds_of, moment_of
from gateway.http.spoken import spoken
from gateway.logs.usage_log import UsageLog
from gateway.models import GatewayCredential
from gateway.offering.offer import Offer
from gateway.offering.own_key import described_limits
from hotstate.fast import HotState

# For gateways, whatever dialect their customers speak.
VERIFY_PATH, SETTLE_PATH, RELEASE_PATH = "/v1/keys/verify", "/v1/keys/settle", "/v1/keys/release"
PATHS = (VERIFY_PATH, SETTLE_PATH, RELEASE_PATH)
LARGEST_BODY = 64 * 1024
BODY_SECONDS = 10.0
MODELS_NAME = "models"
NO_SUCH_KEY = errors.bad_request("There is no such key of that organization.", param="key")


class JsonFace:
    def __init__(self, cases: Cases, hotstate: HotState, usage_log: UsageLog) -> None:
        self._cases = cases
        self._hotstate = hotstate
        self._usage_log = usage_log

    async def answer(
        self, path: str, credential: GatewayCredential, incoming: Incoming, outgoing: Outgoing, request_id: UUID
    ) -> None:
        """Answer one of PATHS. Raises ApiError, and Unreachable where nobody can decide."""
        body = await incoming.body(LARGEST_BODY, within=BODY_SECONDS)
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        if path == VERIFY_PATH:
            asked = read(Verify, body)
            case = _case_of(asked, credential, request_id, now_ms)
            answer = _told(await self._cases.judge(case, asked.key, credential))
        elif path == SETTLE_PATH:
            answer = await self._settled(read(Settle, body), credential, now_ms)
        else:
            answer = await self._released(read(Release, body), credential)
        await outgoing.whole(200, msgspec.json.encode(answer))

    async def _settled(self, ended: Settle, credential: GatewayCredential, now_ms: int) -> dict[str, Any]:
        """The line first, then the hold, as for our own requests. Where Unreachable is raised, nothing was written."""
        offer = self._cases.offer()
        _check_version(ended.request_id)
        if milliseconds_of(ended.request_id) > now_ms + BROUGHT_WITHIN_MS:
            raise errors.bad_request("`request_id` is of the future.", param="request_id")
        if not credential.serves(ended.org):
            raise NO_SUCH_KEY
        record = await self._hotstate.record(ended.org, ended.key)
        if record is None and not await _exists(ended.org, ended.key):
            raise NO_SUCH_KEY
        if await self._ended_by(credential, ended.org, ended.request_id) is None:
            raise errors.REQUEST_ID_USED
        line = ended.line(via=credential.name)
        nanos = await self._charge(ended, offer)
        self._usage_log.append(**line, charge_nanos=nanos)
        self._cases.ended(ended.org, ended.request_id)
        settled = False
        if record is not None and nanos is not None:
            tokens = meters.tokens(ended.usage)
            settled = await settle(self._hotstate, record.org, record.key, ended.request_id, nanos, taken=tokens)
        return {"request_id": str(ended.request_id), "settled": settled, "charge": nanos}

    async def _charge(self, ended: Settle, offer: Offer) -> int | None:
        """Nano-dollars; None where nobody here knows on what terms: the worker does. Raises Unreachable."""
        model = offer.models.get(ended.model)
        organization = await self._hotstate.organization(ended.org)
        priced = offer.priced(model, moment_of(ended.request_id), organization) if model and organization else None
        if priced is None:
            return None
        nanos = charge_of(ended.outcome, ended.usage, priced, estimated=ended.estimated, variant=ended.variant)
        # Until a person looks, nothing is known to charge.
        return 0 if nanos is None else nanos

    async def _released(self, released: Release, credential: GatewayCredential) -> dict[str, Any]:
        org, request_id, gone = released.org, released.request_id, False
        key = await self._ended_by(credential, org, request_id) if credential.serves(org) else None
        if key is not None:
            gone = await release(self._hotstate, org, key, request_id)
            self._cases.ended(org, request_id)
        return {"request_id": str(request_id), "released": gone}

    async def _ended_by(self, credential: GatewayCredential, org: str, request_id: UUID) -> str | None:
        """The API key whose request this gateway may end; empty where nothing is held, None where another holds.

        Raises Unreachable.
        """
        key, holder = await self._hotstate.holder(org, str(request_id))
        return key if holder in ("", str(credential.pk)) else None


def _case_of(asked: Verify, credential: GatewayCredential, minted: UUID, now_ms: int) -> Case:
    """What is asked, under the id that was brought or else the minted one. Raises ApiError where it makes no sense."""
    endpoint = BY_NAME.get(asked.endpoint)
    if endpoint is None and asked.endpoint != MODELS_NAME:
        known = ", ".join([*BY_NAME, MODELS_NAME])
        raise errors.bad_request(f"`endpoint` has to be one of {known}.", param="endpoint")
    if unknown := ", ".join(asked.units.keys() - set(meters.METERS)):
        raise errors.bad_request(f"`units` has meters that there aren't: {unknown[:200]}.", param="units")
    if asked.request_id is not None:
        _check_version(asked.request_id)
        if abs(milliseconds_of(asked.request_id) - now_ms) > BROUGHT_WITHIN_MS:
            told = f"`request_id` is not within {BROUGHT_WITHIN_MS // 1000} s of now."
            raise errors.bad_request(told, param="request_id")
    return Case(
        request_id=asked.request_id or minted,
        scope=endpoint.scope if endpoint else MODELS_SCOPE,
        endpoint=endpoint,
        model=asked.model,
        address=asked.address,
        # What is counted besides tokens, only the gateway that asks can know.
        size_known=endpoint is None or endpoint.is_counted_in_tokens or bool(asked.units),
        counted=Counted(asked.units, asked.variant),
        input_tokens=asked.input_tokens,
        input_bytes=asked.input_bytes,
        face="verify",
        holder=str(credential.pk),
        output_tokens=asked.max_output_tokens if endpoint and endpoint.has_output else None,
        brought=asked.request_id is not None,
    )


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


def _check_version(request_id: UUID) -> None:
    if request_id.version != 7:
        raise errors.bad_request("`request_id` has to be a UUIDv7.", param="request_id")


async def _exists(org: str, key: str) -> bool:
    """Whether PostgreSQL has that key: Valkey may have lost it. Raises Unreachable."""
    with needing_postgres():
        return await in_thread(ApiKey.objects.filter(public_id=key, organization__public_id=org).exists)
