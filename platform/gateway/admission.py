"""Keymeter's own gateway asks for a decision: it goes on where that is `allowed`, and answers with the refusal else."""

from django.conf import settings

from gateway.decision import Decider, Decision, Question
from gateway.incoming import Incoming
from gateway.keyring import Identity
from gateway.leases import Leases
from gateway.outgoing import Outgoing
from gateway.rate_headers import rate_headers
from gateway.refusing import refusal_of
from gateway.verdicts import Verdict
from hotstate.errors import Unreachable


def address_of(incoming: Incoming) -> str | None:
    """The client's address, which the trusted proxies tell."""
    return incoming.address(settings.ALLAUTH_TRUSTED_PROXY_COUNT)


class Admission:
    def __init__(self, decider: Decider, leases: Leases) -> None:
        self._decider = decider
        self._leases = leases

    async def permit(self, identity: Identity, question: Question, outgoing: Outgoing) -> Decision:
        """Return the decision where the verdict is `allowed`; raise the refusal otherwise."""
        try:
            decision = await self._decider.decide(identity, question)
        except Unreachable:
            self._leases.doubtful.append((identity.record.org, question.request_id))
            raise
        outgoing.rate_headers = rate_headers(decision.limits)
        if decision.verdict is not Verdict.ALLOWED:
            raise refusal_of(decision, question)
        return decision
