"""What is kept of a decision, so that it can be explained: bounded, whatever a key allows and a client says."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from billing.terms import terms_of
from gateway.deciding.keyring import Identity
from gateway.http.request_ids import milliseconds_of
from hotstate.decision_log import DecisionRecord

if TYPE_CHECKING:
    from gateway.deciding.decision import Decision, Question

# So many models and networks of a key, and so many characters of what a client called a model.
MOST_TOLD, LONGEST_TOLD = 50, 200


def recorded(identity: Identity, question: "Question", decision: "Decision") -> DecisionRecord:
    """The decision as it is kept for explanations."""
    record, seen = identity.record, decision.seen
    sold = terms_of(identity.organization, decision.at or datetime.now(UTC)).models
    secret_id, secret_lapses_ms = record.secrets.get(identity.digest, ("", None))
    return DecisionRecord(
        id=question.request_id,
        at_ms=int(decision.at.timestamp() * 1000) if decision.at else milliseconds_of(UUID(question.request_id)),
        verdict=decision.verdict,
        face=question.face,
        bound=decision.bound,
        wait_ms=decision.wait_ms,
        org=record.org,
        key=record.key,
        secret=secret_id,
        secret_lapses_ms=secret_lapses_ms,
        scope=question.scope,
        # A client may name anything as a model.
        model=question.model[:LONGEST_TOLD] if question.model else question.model,
        offered=question.offered,
        address=question.address,
        hold_nanos=question.hold_nanos,
        tokens=question.tokens,
        scopes=sorted(record.scopes),
        models=sorted(record.models)[:MOST_TOLD],
        networks=sorted(record.networks)[:MOST_TOLD],
        more_models=max(0, len(record.models) - MOST_TOLD),
        organization_models=sorted(sold)[:MOST_TOLD],
        more_organization_models=max(0, len(sold) - MOST_TOLD),
        more_networks=max(0, len(record.networks) - MOST_TOLD),
        limits=[(limit.name, limit.most, limit.left, limit.back_ms) for limit in decision.limits],
        organization=seen.organization if seen else {},
        api_key=seen.api_key if seen else {},
        counters=seen.counters if seen else {},
    )


def turned_away(refused: "Decision", request_id: UUID, *, address: str | None, face: str) -> DecisionRecord:
    """The refusal of somebody who is nobody here."""
    return DecisionRecord(
        id=str(request_id),
        at_ms=milliseconds_of(request_id),
        verdict=refused.verdict,
        bound=refused.bound,
        wait_ms=refused.wait_ms,
        face=face,
        address=address,
    )
