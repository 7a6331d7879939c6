"""A request to a model: read, admitted with its worst case held, then run."""

import dataclasses
from functools import partial
from uuid import UUID

from django.conf import settings
from msgspec.structs import replace

from gateway import asked, matching, model_limits, responses
from gateway.admission import Admission, address_of
from gateway.asked import Asked
from gateway.bindings import Bindings, upstream_of
from gateway.decision import Question
from gateway.endpoints import RESPONSES, Endpoint
from gateway.errors import ApiError, refusal
from gateway.incoming import Incoming
from gateway.keyring import Identity, Keyring
from gateway.leases import Held, Leases
from gateway.offer import Offer, OfferedModel
from gateway.outgoing import Outgoing
from gateway.request_ids import moment_of
from gateway.routing import Routing
from gateway.running import Running
from gateway.usage_log import UsageLog
from gateway.verdicts import Verdict
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
    ) -> None:
        self._admission = admission
        self._hotstate = hotstate
        self._keyring = keyring
        self._leases = leases
        self._usage_log = usage_log
        self._routing = routing
        self._bindings = bindings

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
            body = await incoming.body(settings.GATEWAY_MAX_BODY_BYTES, within=BODY_SECONDS)
            wanted = asked.read(body, endpoint, incoming.content_type)
        except ApiError:
            # What is wrong with the key is said before what is wrong with the request.
            await self._admission.permit(identity, question, outgoing)
            raise
        model = offer.sold(wanted.model, endpoint.family, admitted_at)
        if wanted.response.previous:
            model = await self._going_on(wanted, model, identity, offer, question, outgoing)
        wanted, beyond = model_limits.taken(wanted, endpoint, model) if model else (wanted, None)
        anew = partial(_on_terms, question, endpoint, wanted, model, offer, holds=beyond is None)
        decision = await self._admission.permit(identity, anew(identity.organization), outgoing)
        question = decision.question or question
        if not model or not question.priced:
            raise refusal(Verdict.MODEL_NOT_FOUND, wanted.model)
        if beyond:
            raise beyond
        hold = question.hold_nanos or 0
        running = Running(
            request_id=request_id,
            admitted_at=admitted_at,
            identity=identity,
            endpoint=endpoint,
            asked=wanted,
            model=model,
            route=model.routes[0],
            priced=question.priced,
            incoming=incoming,
            outgoing=outgoing,
            hotstate=self._hotstate,
            keyring=self._keyring,
            usage_log=self._usage_log,
            bindings=self._bindings,
            held=Held(identity.record.org, identity.record.key, hold),
            covered_tokens=wanted.covered_output(endpoint, model),
        )
        with self._leases.kept(str(request_id), running.held):
            await running.run(self._routing)

    async def _going_on(
        self,
        wanted: Asked,
        model: OfferedModel | None,
        identity: Identity,
        offer: Offer,
        question: Question,
        outgoing: Outgoing,
    ) -> OfferedModel | None:
        """The model on the routes that can have the response that goes before. Raises ApiError."""
        previous = wanted.response.previous
        made = await self._bindings.find(identity.record.org, RESPONSES.name, previous)
        if made and model:
            place = upstream_of(made, offer)
            routes = tuple(route for route in model.routes if route.upstream == place)
            if routes and matching.model_allowed(made.model, identity.record.models):
                return dataclasses.replace(model, routes=routes)
        # What is wrong with the key is said before.
        await self._admission.permit(
            identity, replace(question, model=wanted.model, offered=model is not None), outgoing
        )
        raise responses.not_found(previous)


def _on_terms(
    question: Question,
    endpoint: Endpoint,
    wanted: Asked,
    model: OfferedModel | None,
    offer: Offer,
    organization: OrganizationRecord,
    *,
    holds: bool,
) -> Question:
    """The question as it is on the organization's terms of that moment."""
    priced = offer.priced(model, moment_of(UUID(question.request_id)), organization) if model else None
    asking = replace(
        question,
        model=wanted.model,
        offered=priced is not None,
        priced=priced,
        anew=partial(_on_terms, question, endpoint, wanted, model, offer, holds=holds),
    )
    # What asks for more than the model has is told so, and holds nothing.
    if not model or not priced or not holds:
        return asking
    hold = wanted.hold_nanos(endpoint, model, priced)
    return replace(asking, hold_nanos=hold, tokens=wanted.estimated_tokens())
