"""Prices for a time that is over: what was wrong is superseded, and events of that time can be corrected by it."""

from datetime import datetime

from django.db import transaction

from accounts.models import User, audit
from billing import turns
from billing.models import Price, PriceVersion
from billing.prices import PriceError, lock, prices_of, validate
from catalog.changes import announce
from catalog.models import Model

Prices = dict[str, tuple[int, int]]


def supersede_prices(
    model: Model, prices: Prices, since: datetime, until: datetime, *, actor: User | None, reason: str, now: datetime
) -> bool:
    """Let these prices (meter → nano-dollars, per so many units) stand from `since` until `until`, which is over.

    What stood there is superseded, and what stands at `until` begins there anew. Usage that comes from then on is rated
    by them; what was posted isn't changed. False where they stand already. Raises PriceError, and turns.Busy.
    """
    validate(prices)
    if not since < until <= now:
        raise PriceError("A period to correct begins before it ends, and is over: publish prices for what comes.")
    with transaction.atomic():
        # No posting straddles this: those after it read the new versions.
        number = turns.take()
        lock(model)
        standing = PriceVersion.objects.standing().of_list(None).filter(model=model)
        within = list(standing.filter(effective_from__gte=since, effective_from__lt=until).prefetch_related("prices"))
        if [(version.effective_from, _plain(version)) for version in within] == [(since, prices)] and _ends(
            model, until, prices
        ):
            return False
        after = _in_force(model, until)
        standing.filter(pk__in=[version.pk for version in within]).update(superseded_at=now, until_number=number)
        starts = {since: prices}
        if after is not None and after.effective_from < until:
            starts[until] = _plain(after)
        for start, wanted in starts.items():
            version = PriceVersion.objects.create(
                model=model, effective_from=start, created_at=now, created_by=actor, reason=reason, since_number=number
            )
            Price.objects.bulk_create(
                Price(version=version, meter=meter, amount_nanos=amount, per_units=per)
                for meter, (amount, per) in wanted.items()
            )
        audit.record(
            "prices.supersede",
            model.public_id,
            actor=actor,
            before={version.effective_from.isoformat(): prices_of(version) for version in within},
            after={start.isoformat(): wanted for start, wanted in starts.items()},
            reason=reason,
            now=now,
        )
        announce(now)
    return True


def _plain(version: PriceVersion) -> Prices:
    return {price.meter: (price.amount_nanos, price.per_units) for price in version.prices.all()}


def _in_force(model: Model, at: datetime) -> PriceVersion | None:
    return PriceVersion.objects.in_force(at).filter(model=model).first()


def _ends(model: Model, until: datetime, prices: Prices) -> bool:
    """Whether something else begins at `until`, or these prices hold there anyway."""
    after = _in_force(model, until)
    return after is not None and (after.effective_from == until or _plain(after) == prices)
