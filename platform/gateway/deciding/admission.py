"""Keymeter's own gateway asks for a decision: it goes on where that is `allowed`, and answers with the refusal else."""

from django.conf import settings

from gateway.deciding.decision import Decider, Decision, Question
from gateway.deciding.keyring import Identity
from gateway.deciding.leases import Doubtful, Leases
from gateway.deciding.rate_headers import rate_headers
from gateway.deciding.refusing import refusal_of
from gateway.deciding.verdicts import Verdict
from gateway.http.incoming import Incoming
from gateway.http.outgoing import Outgoing
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
            record = identity.record
            self._leases.doubtful.append(Doubtful(record.org, record.key, question.request_id))
            raise
        outgoing.rate_headers = rate_headers(decision.limits)
        if decision.verdict is not Verdict.ALLOWED:
            raise refusal_of(decision, question)
        return decision
