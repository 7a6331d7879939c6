"""Publishing prices."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, transaction
from psycopg.errors import LockNotAvailable

from accounts.models import User, audit
from billing.models import Price, PriceList, PriceVersion
from billing.price_rules import PriceError, told, validate
from billing.tariff import Prices, UnitPrice, unit_prices
from catalog.changes import announce
from catalog.models import Model

# Gateways know a change within a second; a version starts no sooner, so that gateway and worker agree.
NOTICE = timedelta(seconds=2)


def publish_prices(
    model: Model,
    prices: Prices,
    *,
    effective_from: datetime | None,
    actor: User | None,
    reason: str,
    now: datetime,
    price_list: PriceList | None = None,
    off_peak: Sequence[Mapping[str, Any]] = (),
) -> PriceVersion:
    """Add a version with all prices of a model, in force from a moment or as soon as gateways can know.

    Without a price list it is the public one's; no prices in another list let the model cost there what it costs
    elsewhere. A version of the list that starts at the very same moment is superseded. Raises PriceError. It waits for
    nobody, and the caller commits at once: a version whose commit came after its start would be charged by gateway and
    worker differently.
    """
    named = unit_prices(prices)
    if named or off_peak or price_list is None:
        validate(named, off_peak)
    starts = effective_from or now + NOTICE
    if starts < now + NOTICE:
        raise PriceError("Prices can't start in the past: requests were already charged at the old ones.")
    with transaction.atomic():
        lock(model)
        standing = PriceVersion.objects.standing().of_list(price_list).filter(model=model)
        before = written(standing.filter(effective_from__lte=now).order_by("-effective_from").first())
        standing.filter(effective_from=starts).update(superseded_at=now)
        version = PriceVersion(
            model=model,
            price_list=price_list,
            off_peak=list(off_peak),
            effective_from=starts,
            created_at=now,
            created_by=actor,
            reason=reason,
        )
        write(version, named)
        after = {**written(version), "effective_from": starts.isoformat()}
        if price_list:
            after["price_list"] = price_list.name
        audit.record("prices.publish", model.public_id, actor=actor, before=before, after=after, reason=reason, now=now)
        announce(now)
    return version


def write(version: PriceVersion, prices: Iterable[UnitPrice]) -> None:
    """Store a version with its prices."""
    version.save()
    Price.objects.bulk_create(
        Price(
            version=version,
            meter=price.meter,
            amount_nanos=price.amount_nanos,
            per_units=price.per_units,
            from_input_tokens=price.from_input_tokens,
            variant=price.variant,
        )
        for price in prices
    )


def lock(model: Model) -> None:
    """One publication at a time; a posting that refers to the model neither waits for it nor hinders it."""
    try:
        Model.objects.select_for_update(nowait=True, no_key=True).get(pk=model.pk)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise PriceError("Somebody else is changing this model or its prices at this moment: try again.") from error


def unit_prices_of(version: PriceVersion) -> tuple[UnitPrice, ...]:
    """All prices of a version, in the order in which they were named."""
    return tuple(
        UnitPrice(price.meter, price.amount_nanos, price.per_units, price.from_input_tokens, price.variant)
        for price in sorted(version.prices.all(), key=lambda price: price.pk)
    )


def written(version: PriceVersion | None) -> dict[str, object]:
    """What a version says, as the audit trail keeps it."""
    return told_all(unit_prices_of(version), version.off_peak) if version else {}


def told_all(prices: Iterable[UnitPrice], off_peak: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Price → [nano-dollars, per units], such as `input_tokens` or `input_tokens from 200,000 input tokens`."""
    found: dict[str, object] = {told(price): [price.amount_nanos, price.per_units] for price in prices}
    return found | ({"off_peak": list(off_peak)} if off_peak else {})
