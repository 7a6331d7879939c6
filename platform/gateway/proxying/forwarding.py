"""A request to a model: read, admitted with its worst case held, then run."""

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from msgspec.structs import replace

from gateway.asking import asked, responses
from gateway.asking.asked import Asked
from gateway.asking.endpoints import RESPONSES, Endpoint
from gateway.deciding.admission import Admission, address_of
from gateway.deciding.decision import Question
from gateway.deciding.keyring import Identity, Keyring
from gateway.deciding.leases import Held, Leases
from gateway.deciding.matching import any_allowed
from gateway.deciding.verdicts import Verdict
from gateway.errors import ApiError, refusal
from gateway.http.incoming import Incoming
from gateway.http.outgoing import Outgoing
from gateway.http.request_ids import moment_of
from gateway.logs.usage_log import UsageLog
from gateway.offering import choosing
from gateway.offering.choosing import Wanted
from gateway.offering.offer import Offer
from gateway.proxying.running import Running
from gateway.stored.bindings import Bindings, upstream_of
from gateway.stored.caretaker import Caretaker
from gateway.upstreams.routing import Routing
from hotstate.fast import HotState
from hotstate.records import OrganizationRecord

BODY_SECONDS = 60.0


class Forwarding:
    def __init__(
        self,
        admission: Admission,
        hotstate: HotState,
        keyring: Keyring,
        leases: Leases,
        usage_log: UsageLog,
        routing: Routing,
        bindings: Bindings,
        caretaker: Caretaker,
    ) -> None:
        self._admission = admission
        self._hotstate = hotstate
        self._keyring = keyring
        self._leases = leases
        self._usage_log = usage_log
        self._routing = routing
        self._bindings = bindings
        self._caretaker = caretaker

    async def answer(
        self,
        endpoint: Endpoint,
        identity: Identity,
        offer: Offer,
        incoming: Incoming,
        outgoing: Outgoing,
        request_id: UUID,
    ) -> None:
        """Read the body, decide on the worst case, and run what is allowed. Raises ApiError and Unreachable."""
        admitted_at = moment_of(request_id)
        question = Question(request_id=str(request_id), scope=endpoint.scope, address=address_of(incoming))
        try:
            content = await incoming.body(settings.GATEWAY_MAX_BODY_BYTES, within=BODY_SECONDS)
            body = asked.read(content, endpoint, incoming.content_type)
        except ApiError:
            # What is wrong with the key is said before what is wrong with the request.
            await self._admission.permit(identity, question, outgoing)
            raise
        wanted = choosing.wanted_of(body, endpoint, offer, admitted_at)
        if body.response.previous:
            wanted = await self._going_on(body, wanted, identity, offer, question, outgoing)
        asking = _Asking(question, endpoint, body.model, wanted, offer, identity)
        decision = await self._admission.permit(identity, asking.on_terms_of(identity.organization), outgoing)
        question = decision.question or question
        if not question.candidates:
            found = wanted.found(offer, admitted_at, identity, identity.organization)
            raise found.error or refusal(Verdict.MODEL_NOT_FOUND, body.model)
        candidates = wanted.in_turn(question.candidates, endpoint, self._routing.latencies)
        running = Running(
            request_id=request_id,
            admitted_at=admitted_at,
            identity=identity,
            endpoint=endpoint,
            candidates=candidates,
            incoming=incoming,
            outgoing=outgoing,
            hotstate=self._hotstate,
            keyring=self._keyring,
            usage_log=self._usage_log,
            bindings=self._bindings,
            caretaker=self._caretaker,
            held=Held(identity.record.org, identity.record.key, question.hold_nanos or 0),
        )
        with self._leases.kept(str(request_id), running.held):
            await running.run(self._routing)

    async def _going_on(
        self,
        body: Asked,
        wanted: Wanted,
        identity: Identity,
        offer: Offer,
        question: Question,
        outgoing: Outgoing,
    ) -> Wanted:
        """What is wanted, on the routes that can have the response that goes before. Raises ApiError."""
        previous = body.response.previous
        made = await self._bindings.find(identity.record.org, RESPONSES.name, previous)
        if made:
            held = wanted.at(upstream_of(made, offer))
            names = (made.model, *offer.aliases_of(made.model))
            if held.takings and any_allowed(names, identity.record.models):
                return held
        # What is wrong with the key is said before. Who guesses ids is counted.
        named = replace(
            question,
            model=body.model,
            offered=bool(wanted.takings),
            also_known_as=wanted.other_names(wanted.takings),
            counts=True,
        )
        await self._admission.permit(identity, named, outgoing)
        raise responses.not_found(previous)


@dataclass(frozen=True)
class _Asking:
    """What is asked for, whatever the terms."""

    question: Question
    endpoint: Endpoint
    named: str
    wanted: Wanted
    offer: Offer
    identity: Identity

    def on_terms_of(self, organization: OrganizationRecord) -> Question:
        """The question as it is on the organization's terms of that moment."""
        admitted_at = moment_of(UUID(self.question.request_id))
        candidates, error = self.wanted.found(self.offer, admitted_at, self.identity, organization)
        asking = replace(
            self.question,
            model=self.named,
            offered=bool(candidates or error),
            candidates=candidates,
            also_known_as=self.wanted.other_names(candidates),
            anew=self.on_terms_of,
        )
        # What asks for more than the model has is told so, and holds nothing.
        if not candidates:
            return asking
        hold = max(one.hold_nanos(self.endpoint) for one in candidates)
        return replace(asking, hold_nanos=hold, tokens=candidates[0].asked.estimated_tokens())
