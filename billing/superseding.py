"""Prices for a time that is over: what was wrong is superseded, and events of that time can be corrected by it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction

from accounts.models import User, audit
from billing import turns
from billing.models import PriceList, PriceVersion
from billing.models.price import PriceVersionQuerySet
from billing.off_peak import off_peak as off_peak_times
from billing.price_rules import PriceError, validate
from billing.prices import lock, told_all, unit_prices_of, write, written
from billing.rate_card import RateCard, rate_card
from billing.tariff import Prices, Tariff, UnitPrice, unit_prices
from catalog.changes import announce
from catalog.models import Model


class _Content(NamedTuple):
    """What a version says: its prices in any order, and its off-peak times."""

    prices: frozenset[UnitPrice]
    off_peak: list[Any]


_NOTHING = _Content(frozenset(), [])


def supersede_prices(
    model: Model,
    prices: Prices,
    since: datetime,
    until: datetime,
    *,
    actor: User | None,
    reason: str,
    now: datetime,
    price_list: PriceList | None = None,
    off_peak: Sequence[Mapping[str, Any]] | None = None,
) -> bool:
    """Let these prices stand in a price list (None is the public one) from `since` until `until`, which is over.

    What stood there is superseded, and what stands at `until` begins there anew. Off-peak times that aren't named are
    those that stood at `since`. Usage that comes from then on is rated by them; what was posted isn't changed. False
    where they stand already. Raises PriceError, and turns.Busy.
    """
    named = unit_prices(prices)
    validate(named, off_peak or ())
    if not since < until <= now:
        raise PriceError("A period to correct begins before it ends, and is over: publish prices for what comes.")
    with transaction.atomic():
        # No posting straddles this: those after it read the new versions.
        number = turns.take()
        lock(model)
        standing = PriceVersion.objects.standing().of_list(price_list).filter(model=model).prefetch_related("prices")
        within = list(standing.filter(effective_from__gte=since, effective_from__lt=until).order_by("effective_from"))
        if off_peak is None:
            begun = _in_force(standing, since)
            off_peak = begun.off_peak if begun else []
        wanted = _Content(frozenset(named), list(off_peak))
        after = _in_force(standing, until)
        ends = after is not None and (after.effective_from == until or _content(after) == wanted)
        if ends and [(version.effective_from, _content(version)) for version in within] == [(since, wanted)]:
            return False
        standing.filter(pk__in=[version.pk for version in within]).update(superseded_at=now, until_number=number)
        starts = {since: wanted}
        if after is not None and after.effective_from < until:
            starts[until] = _content(after)
        elif after is None and price_list:
            # There was no own price before, so there is none afterwards.
            starts[until] = _NOTHING
        for start, content in starts.items():
            version = PriceVersion(
                model=model,
                price_list=price_list,
                off_peak=content.off_peak,
                effective_from=start,
                created_at=now,
                created_by=actor,
                reason=reason,
                since_number=number,
            )
            write(version, sorted(content.prices))
        audit.record(
            "prices.supersede",
            model.public_id,
            actor=actor,
            before={version.effective_from.isoformat(): written(version) for version in within},
            after={start.isoformat(): told_all(*content) for start, content in starts.items()},
            reason=reason,
            now=now,
        )
        announce(now)
    return True


def as_if(
    model: Model, prices: Prices, since: datetime, until: datetime, *, price_list: PriceList | None = None
) -> RateCard:
    """The model's rate card as superseding would make it. Writes nothing. Raises PriceError."""
    named = unit_prices(prices)
    validate(named)
    begun = _in_force(PriceVersion.objects.standing().of_list(price_list).filter(model=model), since)
    tariff = Tariff(0, named, off_peak_times(begun.off_peak if begun else []))
    return rate_card([model.pk]).superseded(
        model.pk, tariff, since, until, price_list=price_list.pk if price_list else None
    )


def _content(version: PriceVersion) -> _Content:
    return _Content(frozenset(unit_prices_of(version)), version.off_peak)


def _in_force(standing: PriceVersionQuerySet, at: datetime) -> PriceVersion | None:
    return standing.filter(effective_from__lte=at).order_by("-effective_from").first()
