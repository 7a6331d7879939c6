"""Preview endpoints: for an organization that staff haven't opened them for, there is nothing at their paths.

Which ones are in preview is the dialect's choice, or a setting's (PREVIEW_ENDPOINTS).
"""

from uuid import UUID

from django.conf import settings

from gateway import errors
from gateway.asking.endpoints import Endpoint, Place
from gateway.deciding.decision import Decider, Question
from gateway.deciding.keyring import Identity
from gateway.deciding.verdicts import Verdict
from gateway.errors import refusal
from hotstate.records import OrganizationRecord

# What is wrong with the key is told whatever there is at a path.
_OF_THE_KEY = (Verdict.UNKNOWN, Verdict.REVOKED, Verdict.EXPIRED)


def preview_of(place: Place | None) -> Endpoint | None:
    """The endpoint of that place, where it is in preview."""
    for row in place.by_method.values() if place else ():
        endpoint = row if isinstance(row, Endpoint) else row.of
        return endpoint if endpoint.name in settings.PREVIEW_ENDPOINTS else None
    return None


def is_open(endpoint: Endpoint, organization: OrganizationRecord) -> bool:
    """Whether an organization may know of the endpoint."""
    return endpoint.name not in settings.PREVIEW_ENDPOINTS or endpoint.name in organization.previews


async def require_open(endpoint: Endpoint, identity: Identity, decider: Decider, request_id: UUID) -> None:
    """Raises NO_SUCH_PATH where it isn't open to the key's organization at this moment, ApiError where the key doesn't
    work any more, and Unreachable."""
    # Takes nothing and is kept nowhere: what Valkey has of the organization is the newest.
    question = Question(request_id=str(request_id), scope=None, face="preview", dry=True)
    decision = await decider.decide(identity, question)
    if decision.verdict in _OF_THE_KEY:
        raise refusal(decision.verdict)
    if not is_open(endpoint, identity.organization):
        raise errors.NO_SUCH_PATH
