"""What an event should be charged: nothing, for other usage, or by other prices."""

from uuid import UUID

from billing.correcting import Charged, Rule
from billing.meters import METERS, MOST_UNITS, ZEROS
from billing.rate_card import Priced, RateCard, tariffs
from billing.rated import MOST_PER_REQUEST
from billing.rating import UnpricedError, outcome_charge
from billing.standing import Scope, Standing
from billing.terms import histories, in_force


class CorrectionError(ValueError):
    """What can't be corrected so; the message says why."""


def void(event: Standing) -> Charged:
    """Nothing was used."""
    return Charged({}, event.price_version_id, event.multipliers, 0)


def other_usage(usage: dict[str, int]) -> Rule:
    """These units, meter by meter, at the price that the event has. Raises CorrectionError."""
    for meter, units in usage.items():
        if meter not in METERS:
            raise CorrectionError(f"{meter} is not something that is counted. Meters are: {', '.join(METERS)}.")
        if not 0 <= units <= MOST_UNITS:
            raise CorrectionError(f"{units} {meter} is out of bounds: 0 to {MOST_UNITS}.")
    counted = {meter: units for meter, units in usage.items() if units}

    def rule(event: Standing) -> Charged:
        if event.price_version_id is None:
            raise CorrectionError(f"{event.id} has no price version.")
        tariff = tariffs([event.price_version_id])[event.price_version_id]
        return charged(event, counted, Priced(tariff, event.multipliers))

    return rule


def by_rate_card(card: RateCard) -> Rule:
    """What stands in the rate card for the moment of the event, on the terms that its organization had then.

    What comes to the same charge stays as it is, its price version too.
    """
    terms = histories()

    def rule(event: Standing) -> Charged:
        of_then = in_force(terms.get(event.organization_id, ()), event.id.int >> 80)
        priced = card.tariff(event.model_id, event.time, of_then)
        if priced is None:
            raise CorrectionError(f"There is no price for {event.time.isoformat()} any more, when {event.id} was made.")
        found = charged(event, event.usage, priced)
        if found.nanos != event.charge_nanos:
            return found
        return Charged(event.usage, event.price_version_id, event.multipliers, found.nanos)

    return rule


def charged(event: Standing, usage: dict[str, int], priced: Priced) -> Charged:
    """What this usage costs at these prices, given how the request ended. Raises CorrectionError.

    Nothing used costs nothing: a void event stays void whatever the prices.
    """
    counted = ZEROS | usage
    tariff, multipliers = priced
    try:
        nanos, _ = outcome_charge(
            event.outcome,
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
    return Charged(usage, tariff.version, multipliers, nanos)


def one_event(request_id: UUID) -> Scope:
    return Scope(request_id, UUID(int=request_id.int + 1))
