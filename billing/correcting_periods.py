"""Correcting a period in which a model's prices were wrong: they are superseded, then its events are corrected."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.models import User
from billing import correcting
from billing.correcting import Difference, Skip, Tick
from billing.correction_rules import by_rate_card
from billing.models import PriceList
from billing.partitions import first_id_at
from billing.rate_card import rate_card
from billing.standing import Scope
from billing.superseding import as_if, supersede_prices
from billing.tariff import UnitPrice
from catalog.models import Model


@dataclass(frozen=True, kw_only=True)
class Period:
    """From a moment until before another, which is over. `prices` are what should have stood; none: what stands."""

    model: Model
    since: datetime
    until: datetime
    prices: Sequence[UnitPrice] = ()
    price_list: PriceList | None = None

    @property
    def scope(self) -> Scope:
        return Scope(first_id_at(self.since), first_id_at(self.until), self.model.pk)

    def __str__(self) -> str:
        return f"prices of {self.model} from {self.since:%Y-%m-%d %H:%M:%S} to {self.until:%Y-%m-%d %H:%M:%S} UTC"


def preview_period(period: Period, *, tick: Tick, skip: Skip) -> dict[int, Difference]:
    """Organization pk → what correcting the period would change. Writes nothing. Raises PriceError."""
    model, list_ = period.model, period.price_list
    card = rate_card([model.pk])
    if period.prices:
        card = as_if(model, period.prices, period.since, period.until, price_list=list_)
    return correcting.preview(period.scope, by_rate_card(card), tick, skip)


def correct_period(
    period: Period, *, reason: str, actor: User | None, clock: Callable[[], datetime], tick: Tick, skip: Skip
) -> dict[int, Difference]:
    """Let the period's prices stand, which is committed first, and correct its events by what stands then.

    Run again, it goes on. Raises PriceError, and turns.Busy.
    """
    if period.prices:
        supersede_prices(
            period.model,
            period.prices,
            period.since,
            period.until,
            actor=actor,
            reason=reason,
            now=clock(),
            price_list=period.price_list,
        )
    rule = by_rate_card(rate_card([period.model.pk]))
    return correcting.correct(
        period.scope, rule, what=str(period), reason=reason, actor=actor, clock=clock, tick=tick, skip=skip
    )
