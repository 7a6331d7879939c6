"""Publishing prices, and reading those in force."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import OperationalError, transaction
from psycopg.errors import LockNotAvailable

from accounts.models import User, audit
from billing.meters import METERS
from billing.models import Price, PriceVersion
from billing.rating import Tariff
from catalog.changes import announce
from catalog.models import Model

# Gateways know a change within a second; a version starts no sooner, so that gateway and worker agree.
NOTICE = timedelta(seconds=2)
LARGEST_AMOUNT = 10**15


class PriceError(ValueError):
    """Prices that can't be published; the message says why."""


def publish_prices(
    model: Model,
    prices: dict[str, tuple[int, int]],
    *,
    effective_from: datetime | None,
    actor: User | None,
    reason: str,
    now: datetime,
) -> PriceVersion:
    """Add a version: meter → (nano-dollars, per so many units), in force from a moment or as soon as gateways can know.

    A version that starts at the very same moment is superseded. Raises PriceError. It waits for nobody, and the caller
    commits at once: a version whose commit came after its start would be charged by gateway and worker differently.
    """
    validate(prices)
    starts = effective_from or now + NOTICE
    if starts < now + NOTICE:
        raise PriceError("Prices can't start in the past: requests were already charged at the old ones.")
    with transaction.atomic():
        lock(model)
        before = prices_of(PriceVersion.objects.in_force(now).filter(model=model).first())
        PriceVersion.objects.standing().of_list(None).filter(model=model, effective_from=starts).update(
            superseded_at=now
        )
        version = PriceVersion.objects.create(
            model=model, effective_from=starts, created_at=now, created_by=actor, reason=reason
        )
        Price.objects.bulk_create(
            Price(version=version, meter=meter, amount_nanos=amount, per_units=per)
            for meter, (amount, per) in prices.items()
        )
        after = {**prices_of(version), "effective_from": starts.isoformat()}
        audit.record("prices.publish", model.public_id, actor=actor, before=before, after=after, reason=reason, now=now)
        announce(now)
    return version


def lock(model: Model) -> None:
    """One publication at a time; a posting that refers to the model neither waits for it nor hinders it."""
    try:
        Model.objects.select_for_update(nowait=True, no_key=True).get(pk=model.pk)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise PriceError("Somebody else is changing this model or its prices at this moment: try again.") from error


def prices_of(version: PriceVersion | None) -> dict[str, object]:
    """Meter → [nano-dollars, per units], as the audit trail keeps it."""
    return {price.meter: [price.amount_nanos, price.per_units] for price in version.prices.all()} if version else {}


def validate(prices: dict[str, tuple[int, int]]) -> None:
    if not prices:
        raise PriceError("Name at least one price; a free model has a price of 0.")
    for meter, (amount, per) in prices.items():
        if meter not in METERS:
            raise PriceError(f"{meter} is not something that is counted.")
        if not 0 <= amount <= LARGEST_AMOUNT or not 1 <= per <= LARGEST_AMOUNT:
            raise PriceError(f"The price of {meter} is out of bounds: $0 to $1,000,000 per 1 or more units.")


def tariffs(version_ids: Iterable[int]) -> dict[int, Tariff]:
    """Price version pk → its tariff, superseded or not."""
    found = PriceVersion.objects.filter(pk__in=set(version_ids)).prefetch_related("prices")
    return {version.pk: tariff_of(version) for version in found}


def tariff_of(version: PriceVersion) -> Tariff:
    return Tariff(version.pk, {price.meter: (price.amount_nanos, price.per_units) for price in version.prices.all()})


@dataclass(frozen=True)
class RateCard:
    """The tariffs of models over time. Pure to look at: it was read from the database before."""

    starts: dict[int, list[datetime]]
    tariffs: dict[int, list[Tariff]]

    def tariff(self, model_id: int, at: datetime) -> Tariff | None:
        """The version of a model (by pk) that prices a request of that moment, or None."""
        position = bisect_right(self.starts.get(model_id, []), at)
        return self.tariffs[model_id][position - 1] if position else None


def rate_card(model_ids: Iterable[int] | None = None) -> RateCard:
    """Read the standing versions of these models, or of all."""
    versions = PriceVersion.objects.standing().of_list(None).prefetch_related("prices").order_by("effective_from")
    if model_ids is not None:
        versions = versions.filter(model_id__in=list(model_ids))
    starts: dict[int, list[datetime]] = defaultdict(list)
    found: dict[int, list[Tariff]] = defaultdict(list)
    for version in versions:
        starts[version.model_id].append(version.effective_from)
        found[version.model_id].append(tariff_of(version))
    return RateCard(dict(starts), dict(found))
