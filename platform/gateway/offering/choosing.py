"""Which models a request may be answered by: the one that it names, or those that an alias stands for.

An alias passes by what doesn't serve the request: what isn't sold, isn't priced or isn't the key's, and what doesn't
take its parameters. The hold covers the dearest of those that are left, because any of them may come to answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from billing.rate_card import Priced
from billing.rating import charge, priced_part
from billing.terms import terms_of
from catalog.models import Choice
from gateway.asking import model_limits
from gateway.asking.asked import Asked
from gateway.asking.endpoints import CHAT, Endpoint
from gateway.deciding.keyring import Identity
from gateway.deciding.matching import any_allowed
from gateway.errors import ApiError
from gateway.offering.offer import Offer, OfferedAlias, OfferedModel
from gateway.upstreams.latency import Latencies
from hotstate.records import OrganizationRecord

# By how many output tokens prices are compared where the request doesn't limit them.
USUAL_OUTPUT = 500


class Candidate(NamedTuple):
    """A model, the request as it takes it, and what prices it."""

    model: OfferedModel
    asked: Asked
    priced: Priced

    def hold_nanos(self, endpoint: Endpoint) -> int:
        return self.asked.hold_nanos(endpoint, self.model, self.priced)


class Taking(NamedTuple):
    """A model and the request as it takes it; or what is wrong with that."""

    model: OfferedModel
    asked: Asked
    error: ApiError | None


class Found(NamedTuple):
    """What may answer on an organization's terms. The error is of what may, where none of that takes the request."""

    candidates: tuple[Candidate, ...]
    error: ApiError | None = None


@dataclass(frozen=True)
class Wanted:
    """What a request names, and which models that is: before it is known who asks."""

    alias: OfferedAlias | None
    takings: tuple[Taking, ...]

    def found(self, offer: Offer, at: datetime, identity: Identity, organization: OrganizationRecord) -> Found:
        """Whether a key may use a model that it named itself is the decision's matter."""
        candidates: list[Candidate] = []
        error: ApiError | None = None
        for model, asked, trouble in self.takings:
            priced = offer.priced(model, at, organization)
            if not priced or not self._allows(model, at, identity, organization):
                continue
            if trouble:
                error = error or trouble
            else:
                candidates.append(Candidate(model, asked, priced))
        return Found(tuple(candidates), None if candidates else error)

    def at(self, upstream: int | None) -> "Wanted":
        """The same on the routes to that upstream alone."""
        here = [
            (replace(one.model, routes=routes), one)
            for one in self.takings
            if (routes := tuple(route for route in one.model.routes if route.upstream == upstream))
        ]
        return Wanted(self.alias, tuple(one._replace(model=model) for model, one in here))

    def other_names(self, found: Sequence[Candidate | Taking]) -> tuple[str, ...]:
        """The ids of what an alias stands for."""
        return tuple(one.model.public_id for one in found) if self.alias else ()

    def in_turn(
        self, candidates: tuple[Candidate, ...], endpoint: Endpoint, latencies: Latencies
    ) -> tuple[Candidate, ...]:
        """As they are tried."""
        if not self.alias or len(candidates) < 2:
            return candidates
        if self.alias.choice == Choice.PRICE:
            return tuple(sorted(candidates, key=lambda one: price_of(one, endpoint)))
        if self.alias.choice == Choice.LATENCY:
            quickest = latencies.in_turn([kind_of(one, endpoint) for one in candidates])
            return tuple(candidates[place] for place in quickest)
        return candidates

    def _allows(self, model: OfferedModel, at: datetime, identity: Identity, organization: OrganizationRecord) -> bool:
        """An alias that is named, by the key or the organization, stands for its models; so does each of them."""
        if not self.alias:
            return True
        names = (self.alias.public_id, model.public_id)
        return any_allowed(names, identity.record.models) and any_allowed(names, terms_of(organization, at).models)


def wanted_of(asked: Asked, endpoint: Endpoint, offer: Offer, at: datetime) -> Wanted:
    """What the request names, of what is sold then for that endpoint. A model goes before an alias of its id."""
    alias = offer.alias(asked.model)
    named = alias.models if alias else (asked.model,)
    models = [model for name in named if (model := offer.sold(name, endpoint.family, at))]
    return Wanted(alias, tuple(Taking(model, *model_limits.taken(asked, endpoint, model)) for model in models))


def price_of(candidate: Candidate, endpoint: Endpoint) -> int:
    """What it would cost, nano-dollars, if all models answered alike: which of them is the cheapest."""
    asked, priced = candidate.asked, candidate.priced
    output = (asked.most_output_tokens or USUAL_OUTPUT) * asked.choices
    usage = {"requests": 1, "input_tokens": asked.estimated_input(), **asked.counted.usage}
    if endpoint.has_output:
        usage["output_tokens"] = output
    if endpoint is CHAT:
        usage["images"] = asked.choices
    variant = asked.counted.variant
    return charge(priced_part(usage, priced.tariff, variant), *priced, variant)


def kind_of(candidate: Candidate, endpoint: Endpoint) -> tuple[int, str, bool]:
    """What is comparable in its latency."""
    return candidate.model.pk, endpoint.name, candidate.asked.stream
