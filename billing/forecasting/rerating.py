"""What an event would be charged without a draft, and with it.

It is rated as a worker rates it: by the prices and terms of the moment at which the draft starts, and by the off-peak
multiplier of its own time of the week. So the same usage, replayed whole weeks later, is charged just that.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Max

from billing import terms
from billing.costs import cost_tariffs
from billing.drafts.versions import Place, versions_at, wanted_of_line
from billing.meters import ZEROS
from billing.models import Forecast, OrganizationTerms, PriceVersion, RouteCost
from billing.off_peak import off_peak
from billing.rate_card import RateCard, Timeline, tariff_of
from billing.rated import MOST_PER_REQUEST
from billing.rating import UnpricedError, outcome_charge
from billing.tariff import Tariff
from catalog.models import Route
from hotstate.records import Terms

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Used:
    """An event as it stands: usage and charge (nano-dollars) after its corrections."""

    id: UUID
    time: datetime
    organization_id: int
    model_id: int
    route_id: int | None
    outcome: str
    estimated: bool
    variant: str
    usage: dict[str, int]
    charge_nanos: int


@dataclass
class Rerating:
    """Prices, terms and costs of one moment: without the draft, with it."""

    at: datetime
    before: RateCard
    after: RateCard
    costs: dict[int, Tariff]
    terms: dict[int, Terms] = field(default_factory=dict)

    def learn(self, organizations: Iterable[int]) -> None:
        """Look up the terms of organizations that weren't met before."""
        new = set(organizations) - self.terms.keys()
        if not new:
            return
        at_ms = terms.milliseconds(self.at)
        known = terms.histories(new)
        self.terms |= {pk: terms.in_force(known.get(pk, ()), at_ms) for pk in new}

    def without_draft(self, event: Used) -> int | None:
        """Nano-dollars, or None: the event would have no price, and its line go into quarantine."""
        return self._charge(event, self.before)

    def with_draft(self, event: Used) -> int | None:
        return self._charge(event, self.after)

    def cost(self, event: Used) -> int | None:
        """What it would cost us in nano-dollars; None where nobody entered that."""
        tariff = self.costs.get(event.route_id or 0)
        return None if tariff is None else _rated(event, tariff, [])

    def _charge(self, event: Used, card: RateCard) -> int | None:
        priced = card.tariff(event.model_id, event.time, self.terms[event.organization_id])
        return None if priced is None else _rated(event, priced.tariff, priced.multipliers)


def _rated(event: Used, tariff: Tariff, multipliers: list[int]) -> int | None:
    # Events don't keep zeros that were counted, and nothing counted at all can't be rated.
    usage = event.usage if len(event.usage) > 1 else ZEROS | event.usage
    try:
        nanos, _ = outcome_charge(
            event.outcome, usage, tariff, estimated=event.estimated, multipliers=multipliers, variant=event.variant
        )
    except (UnpricedError, OverflowError):
        return None
    return nanos if nanos <= MOST_PER_REQUEST else None


def rerating_of(forecast: Forecast) -> Rerating:
    """Read what is needed to rate events of the models that the draft names."""
    lines = list(forecast.draft.lines.all())
    models = {line.model_id for line in lines}
    before = {place: tariff_of(version) for place, version in versions_at(forecast.at, models).items()}
    after = dict(before)
    for line in lines:
        wanted = wanted_of_line(line)
        after[line.model_id, line.price_list_id] = Tariff(0, wanted.prices, off_peak(wanted.off_peak))
    routes = Route.objects.filter(model_id__in=models).values_list("pk", flat=True)
    return Rerating(forecast.at, _card(before), _card(after), cost_tariffs(routes, forecast.at))


def state_of_knowledge() -> str:
    """Differs once prices, terms or costs were added: sums found before and after that don't belong together."""
    kinds = (PriceVersion, OrganizationTerms, RouteCost)
    newest = (kind.objects.aggregate(newest=Max("pk"))["newest"] for kind in kinds)
    return ".".join(str(pk or 0) for pk in newest)


def _card(tariffs: dict[Place, Tariff]) -> RateCard:
    """These for all times."""
    timelines: dict[int, dict[int | None, Timeline]] = {}
    for (model, price_list), tariff in tariffs.items():
        timelines.setdefault(model, {})[price_list] = Timeline([ALWAYS], [tariff])
    return RateCard(timelines)
