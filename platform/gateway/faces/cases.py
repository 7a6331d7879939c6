"""The decision as other gateways ask for it: what the JSON face and forward-auth have in common."""

from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import msgspec
from django.conf import settings

from billing import estimating
from billing.rate_card import Priced
from billing.terms import terms_of
from gateway import errors
from gateway.asking.asked import TEMPLATE_TOKENS, held
from gateway.asking.counting import NOTHING, Counted
from gateway.asking.endpoints import Endpoint
from gateway.deciding import matching
from gateway.deciding.decision import OURSELVES, Decider, Decision, Question
from gateway.deciding.keyring import Identity
from gateway.deciding.leases import Doubtful, Leases
from gateway.deciding.verdicts import Verdict
from gateway.http.request_ids import moment_of
from gateway.logs.usage_log import UsageLog
from gateway.models import GatewayCredential
from gateway.offering.offer import Offer, OfferedModel, OfferWatch
from gateway.offering.previews import is_open
from hotstate.errors import Unreachable
from hotstate.records import OrganizationRecord


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What another gateway asks about. `endpoint` is None for what costs nothing.

    `size_known` is False where the request can't be measured: then the configured estimate is held. `input_tokens` and
    `input_bytes` None: as much as fits into the model; `output_tokens` None: as much as it writes.
    `counted` is what is counted besides tokens. `brought` says that the asking gateway chose the id.
    """

    request_id: UUID
    scope: str | None
    endpoint: Endpoint | None = None
    model: str | None = None
    address: str | None = None
    size_known: bool = False
    input_tokens: int | None = None
    input_bytes: int | None = None
    output_tokens: int | None = None
    counted: Counted = NOTHING
    brought: bool = False
    face: str = "api"
    holder: str = OURSELVES

    def estimated_tokens(self) -> int:
        """What token limits take at admission. Of an unknown size a token, so that who has none left is refused."""
        known_input = estimating.tokens(self.input_bytes or 0) if self.input_tokens is None else self.input_tokens
        return max(1, known_input + (self.output_tokens or 0))

    def worst_case(self, model: OfferedModel, priced: Priced, *, writes: bool) -> int:
        """The most that it may cost, nano-dollars."""
        told = self.input_bytes if self.input_tokens is None else self.input_tokens
        most_input = (model.context_window if told is None else told) + TEMPLATE_TOKENS
        most_output = (self.output_tokens or model.max_output_tokens) if writes else 0
        return held(most_input, most_output, self.counted, priced)


class Judged(msgspec.Struct, frozen=True):
    """The decision on a case. `identity` is None where nobody has that key; `model` where none was named or is sold.

    `models` are ids and patterns of what the key may use, also by its organization's terms; none is every model.
    """

    decision: Decision
    question: Question
    identity: Identity | None = None
    model: OfferedModel | None = None
    models: frozenset[str] = frozenset()

    @property
    def allowed(self) -> bool:
        return self.decision.verdict is Verdict.ALLOWED

    @property
    def hold_nanos(self) -> int | None:
        """What is set aside, in nano-dollars; None where nothing is."""
        return self.question.hold_nanos if self.allowed else None

    @property
    def route(self) -> str:
        return str(self.model.routes[0].pk) if self.model and self.allowed else ""

    @property
    def model_checked(self) -> bool:
        return self.allowed and self.question.model is not None


class Cases:
    """What other gateways ask: judged when it comes, forgotten when it has ended."""

    def __init__(self, decider: Decider, watch: OfferWatch, leases: Leases, usage_log: UsageLog) -> None:
        self._decider = decider
        self._watch = watch
        self._leases = leases
        self._usage_log = usage_log

    def offer(self) -> Offer:
        """What is sold. Raises ApiError where this gateway can't serve: it knows of nothing, or could log nothing."""
        offer = self._watch.offer
        if offer is None or self._usage_log.blocked:
            raise errors.UNAVAILABLE
        return offer

    async def judge(self, case: Case, secret: str, credential: GatewayCredential) -> Judged:
        """Decide on the secret that a gateway was shown, and hold where allowed.

        Raises Unreachable, and ApiError where this gateway can't serve.
        """
        offer = self.offer()
        identity = await self._decider.identify(
            secret, case.request_id, address=case.address, face=case.face, asking=credential
        )
        if isinstance(identity, Decision):
            return Judged(identity, asked_of(case, offer, None))
        question = asked_of(case, offer, identity.organization)
        try:
            decision = await self._decider.decide(identity, question)
        except Unreachable:
            # A gateway that brought the id asks again with it, and must not lose what it then gets.
            if not case.brought:
                record = identity.record
                self._leases.doubtful.append(Doubtful(record.org, record.key, question.request_id))
            raise
        question = decision.question or question
        now = decision.at or datetime.now(UTC)
        sold = terms_of(identity.organization, now).models
        judged = Judged(
            decision,
            question,
            identity,
            model_of(case, offer) if question.offered else None,
            matching.common(identity.record.models, sold, offer.models),
        )
        if judged.hold_nanos is not None:
            record = identity.record
            self._leases.grant(question.request_id, record.org, record.key, judged.hold_nanos, now)
        return judged

    def ended(self, org: str, request_id: UUID) -> None:
        """The organization's request has come to its end: its hold isn't ours to remember any more."""
        self._leases.forget_granted(org, str(request_id))


def asked_of(case: Case, offer: Offer, organization: OrganizationRecord | None) -> Question:
    """The question on an organization's terms, or nobody's, with the worst case as its hold."""
    at = moment_of(case.request_id)
    model, priced, hold = model_of(case, offer), None, None
    offered = case.model is None or model is not None
    if case.endpoint:
        hold = settings.FORWARD_AUTH_HOLD_NANOS
        priced = offer.priced(model, at, organization) if model else None
        offered = offered and (model is None or priced is not None)
        offered = offered and (organization is None or is_open(case.endpoint, organization))
        if model and priced and case.size_known:
            hold = case.worst_case(model, priced, writes=bool(case.endpoint.writes))
    return Question(
        request_id=str(case.request_id),
        scope=case.scope,
        # What isn't offered has to have a name, by which it is refused.
        model=case.model if offered or not case.endpoint else case.model or case.endpoint.name,
        offered=offered,
        hold_nanos=hold,
        tokens=case.estimated_tokens() if case.endpoint else 0,
        address=case.address,
        face=case.face,
        holder=case.holder,
        priced=priced,
        anew=partial(asked_of, case, offer),
    )


def model_of(case: Case, offer: Offer) -> OfferedModel | None:
    """The model that is named, if it is sold for that."""
    if case.model is None:
        return None
    at = moment_of(case.request_id)
    if case.endpoint:
        return offer.sold(case.model, case.endpoint.family, at)
    model = offer.available(case.model, at)
    return model if model and model.routes else None
