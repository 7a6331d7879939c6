"""What an event should be charged: nothing, for another end or other usage, or by other prices."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from billing.correcting import Charged, CorrectionError, Rule
from billing.meters import METERS, MOST_UNITS, ZEROS
from billing.models import Outcome
from billing.rate_card import Priced, RateCard, rate_card
from billing.rated import MOST_PER_REQUEST
from billing.rating import UnpricedError, outcome_charge
from billing.standing import Scope, Standing
from billing.terms import histories, in_force
from hotstate.records import Terms


def void(event: Standing) -> Charged:
    """Nothing was used."""
    return Charged(event.outcome, {}, event.price_version_id, event.multipliers, 0)


def otherwise(*, outcome: str | None = None, usage: dict[str, int] | None = None) -> Rule:
    """Another end or these units, meter by meter, at the prices that stand for the moment of the event.

    What is left out stays as it is. Raises CorrectionError.
    """
    if outcome is not None and outcome not in Outcome.values:
        raise CorrectionError(f"{outcome} is no way to end. There are: {', '.join(Outcome.values)}.")
    counted = None if usage is None else _counted(usage)

    def rule(event: Standing) -> Charged:
        # Superseded prices are those that the event was charged by, not those it should have been.
        priced = _priced(event, rate_card([event.model_id]), histories([event.organization_id]))
        return charged(event, outcome or event.outcome, event.usage if counted is None else counted, priced)

    return rule


def _counted(usage: dict[str, int]) -> dict[str, int]:
    for meter, units in usage.items():
        if meter not in METERS:
            raise CorrectionError(f"{meter} is not something that is counted. Meters are: {', '.join(METERS)}.")
        if not 0 <= units <= MOST_UNITS:
            raise CorrectionError(f"{units} {meter} is out of bounds: 0 to {MOST_UNITS}.")
    return {meter: units for meter, units in usage.items() if units}


def by_rate_card(card: RateCard) -> Rule:
    """What stands in the rate card for the moment of the event, on the terms that its organization had then.

    What comes to the same charge stays as it is, its price version too.
    """
    terms = histories()

    def rule(event: Standing) -> Charged:
        found = charged(event, event.outcome, event.usage, _priced(event, card, terms))
        if found.nanos != event.charge_nanos:
            return found
        return Charged(event.outcome, event.usage, event.price_version_id, event.multipliers, found.nanos)

    return rule


def _priced(event: Standing, card: RateCard, terms: Mapping[int, Sequence[Terms]]) -> Priced:
    of_then = in_force(terms.get(event.organization_id, ()), event.id.int >> 80)
    priced = card.tariff(event.model_id, event.time, of_then)
    if priced is None:
        raise CorrectionError(f"There is no price for {event.time.isoformat()} any more, when {event.id} was made.")
    return priced


def charged(event: Standing, outcome: str, usage: dict[str, int], priced: Priced) -> Charged:
    """What this usage costs at these prices, where the request ended so. Raises CorrectionError.

    Nothing used costs nothing: a void event stays void whatever the prices.
    """
    counted = ZEROS | usage
    tariff, multipliers = priced
    try:
        nanos, _ = outcome_charge(
            outcome,
            counted,
            tariff,
            estimated=event.estimated,
            multipliers=multipliers,
            variant=event.variant,
        )
    except UnpricedError as error:
        raise CorrectionError(f"{event.id} has units of {error}, which these prices don't name.") from error
    except OverflowError as error:
        raise CorrectionError(f"{event.id}: {error}.") from error
    if nanos > MOST_PER_REQUEST:
        raise CorrectionError(f"{event.id} would cost {nanos} nano-dollars, more than a request can.")
    return Charged(outcome, usage, tariff.version, multipliers, nanos)


def one_event(request_id: UUID) -> Scope:
    return Scope(request_id, UUID(int=request_id.int + 1))
