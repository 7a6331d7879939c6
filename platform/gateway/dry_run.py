"""Would this key be allowed to …? The decision itself, asked without taking anything."""

import asyncio

from django.conf import settings
from msgspec.structs import replace

from accounts.models import ApiKey
from gateway.decision import Decider, Question, recorded
from gateway.endpoints import BY_NAME
from gateway.faces import Case, asked_of
from gateway.journal import Journal
from gateway.keyring import Identity, Keyring
from gateway.offer import read_offer
from gateway.request_ids import new_request_id
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

    Raises Unreachable where nobody could decide.
    """
    asked = BY_NAME[endpoint]
    case = Case(
        request_id=new_request_id(),
        scope=asked.scope,
        endpoint=asked,
        model=model,
        address=address,
        size_known=True,
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


async def _decided(identity: Identity, question: Question) -> DecisionRecord:
    hotstate = HotState(settings.VALKEY_URL)
    try:
        await hotstate.join()
        decider = Decider(hotstate, Keyring(hotstate), Journal(hotstate), lease_seconds=settings.HOLD_LEASE_SECONDS)
        decision = await decider.decide(identity, question)
        return recorded(identity, decision.question or question, decision)
    finally:
        await hotstate.close()
