"""What an event should be charged: nothing, for other usage, or by other prices."""

from uuid import UUID

from billing.correcting import Charged, Rule
from billing.meters import METERS, MOST_UNITS, ZEROS
from billing.prices import RateCard, tariffs
from billing.rated import MOST_PER_REQUEST
from billing.rating import Tariff, UnpricedError, outcome_charge
from billing.standing import Scope, Standing


class CorrectionError(ValueError):
    """What can't be corrected so; the message says why."""


def void(event: Standing) -> Charged:
    """Nothing was used."""
    return Charged({}, event.price_version_id, 0)


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
        return charged(event, counted, tariffs([event.price_version_id])[event.price_version_id])

    return rule


def by_rate_card(card: RateCard) -> Rule:
    """What stands in the rate card for the moment of the event."""

    def rule(event: Standing) -> Charged:
        tariff = card.tariff(event.model_id, event.time)
        if tariff is None:
            raise CorrectionError(f"There is no price for {event.time.isoformat()} any more, when {event.id} was made.")
        return by_tariff(tariff)(event)

    return rule


def by_tariff(tariff: Tariff) -> Rule:
    """These prices, whatever the moment. What comes to the same charge stays as it is, its price version too."""

    def rule(event: Standing) -> Charged:
        found = charged(event, event.usage, tariff)
        return found if found.nanos != event.charge_nanos else Charged(event.usage, event.price_version_id, found.nanos)

    return rule


def charged(event: Standing, usage: dict[str, int], tariff: Tariff) -> Charged:
    """What this usage costs at these prices, given how the request ended. Raises CorrectionError.

    Nothing used costs nothing: a void event stays void whatever the prices.
    """
    counted = ZEROS | usage
    try:
        nanos, _ = outcome_charge(
            event.outcome, counted, tariff, estimated=event.estimated, multipliers=event.multipliers
        )
    except UnpricedError as error:
        raise CorrectionError(f"{event.id} has units of {error}, which these prices don't name.") from error
    except OverflowError as error:
        raise CorrectionError(f"{event.id}: {error}.") from error
    if nanos > MOST_PER_REQUEST:
        raise CorrectionError(f"{event.id} would cost {nanos} nano-dollars, more than a request can.")
    return Charged(usage, tariff.version, nanos)


def one_event(request_id: UUID) -> Scope:
    return Scope(request_id, UUID(int=request_id.int + 1))
