"""Would this key be allowed to …? The decision itself, asked without taking anything."""

import asyncio

from django.conf import settings
from msgspec.structs import replace

from accounts.models import ApiKey
from gateway.asking.counting import NOTHING, Counted
from gateway.asking.endpoints import BY_NAME, Endpoint
from gateway.deciding.decision import Decider, Question
from gateway.deciding.journal import Journal
from gateway.deciding.keyring import Identity, Keyring
from gateway.deciding.recording import recorded
from gateway.errors import ApiError
from gateway.faces.cases import Case, asked_of
from gateway.http.request_ids import new_request_id
from gateway.offering.offer import read_offer
from hotstate.decision_log import DecisionRecord
from hotstate.fast import HotState
from hotstate.records import OrganizationRecord


def would_be(
    key: ApiKey,
    *,
    endpoint: str,
    model: str,
    address: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
) -> DecisionRecord:
    """What would be decided now. `endpoint` is one of BY_NAME; sizes that are None are the model's most.

    What is counted otherwise (images, say) is as of a request that names no more than it must; where that can't be
    said, as estimated.

    Raises Unreachable where nobody could decide.
    """
    asked = BY_NAME[endpoint]
    counted = _least(asked)
    case = Case(
        request_id=new_request_id(),
        scope=asked.scope,
        endpoint=asked,
        model=model,
        address=address,
        size_known=counted is not None,
        counted=counted or NOTHING,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        face="dry-run",
    )
    record = key.record()
    current = next(digest for digest, (_, lapses_ms) in record.secrets.items() if lapses_ms is None)
    offer, organization = read_offer(), key.organization.record()

    def anew(terms_of: OrganizationRecord) -> Question:
        return replace(asked_of(case, offer, terms_of), dry=True, anew=anew)

    return asyncio.run(_decided(Identity(current, record, organization), anew(organization)))


def _least(endpoint: Endpoint) -> Counted | None:
    try:
        return None if endpoint.heard else endpoint.counted({})
    except ApiError:
        return None


async def _decided(identity: Identity, question: Question) -> DecisionRecord:
    hotstate = HotState(settings.VALKEY_URL)
    try:
        await hotstate.join()
        decider = Decider(hotstate, Keyring(hotstate), Journal(hotstate), lease_seconds=settings.HOLD_LEASE_SECONDS)
        decision = await decider.decide(identity, question)
        return recorded(identity, decision.question or question, decision)
    finally:
        await hotstate.close()
