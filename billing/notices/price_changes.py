"""Prices that change and models that are shut down, told ahead to whoever used them in the last 30 days.

What is published together for one moment is told in one mail. An organization with a price of its own for a model isn't
told of the public one.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from billing.models import DailyUsage, NoticeKind, OrganizationTerms, Price, PriceVersion
from billing.notices.giving import News, give
from catalog.models import Model

USED = timedelta(days=30)
MOST_TOLD = 50
"""Models in one mail; of the rest it says how many there are."""


def tell(now: datetime) -> int:
    """Tell of all that is ahead. Returns how many notices were new."""
    return give([*_prices(now), *_shut_downs(now)], now=now)


def _users(models: Iterable[int], now: datetime) -> dict[int, set[int]]:
    """Organization pk → which of these models it used lately."""
    used = DailyUsage.objects.filter(day__gt=(now - USED).date(), model_id__in=list(models), kind="usage", events__gt=0)
    found: dict[int, set[int]] = defaultdict(set)
    for organization_id, model_id in used.values_list("organization_id", "model_id").distinct():
        found[organization_id].add(model_id)
    return found


def _prices(now: datetime) -> Iterator[News]:
    ahead = list(PriceVersion.objects.standing().filter(effective_from__gt=now).order_by("id"))
    if not ahead:
        return
    models = {version.model_id for version in ahead}
    lists_of = _lists(now)
    own = set(
        PriceVersion.objects.standing()
        .filter(model_id__in=models, price_list__isnull=False, prices__isnull=False)
        .values_list("model_id", "price_list_id")
    )
    told = _Told(models, now)
    for organization_id, used in _users(models, now).items():
        lists = lists_of.get(organization_id, ())
        together: dict[datetime, list[PriceVersion]] = defaultdict(list)
        for version in ahead:
            theirs = {(version.model_id, one) for one in lists}
            meant = version.price_list_id in lists if version.price_list_id else not (theirs & own)
            if version.model_id in used and meant:
                together[version.effective_from].append(version)
        for at, versions in together.items():
            facts = {
                "at": at.isoformat(),
                "models": [told.of(version) for version in versions[:MOST_TOLD]],
                "more": max(0, len(versions) - MOST_TOLD),
            }
            subject = f"prices:{at.isoformat()}:{versions[-1].pk}"
            yield News(organization_id, NoticeKind.PRICE_CHANGE, subject, facts)


def _lists(now: datetime) -> dict[int, tuple[int, ...]]:
    """Organization pk → the price lists that go before the public one for it."""
    begun = OrganizationTerms.objects.filter(effective_from__lte=now)
    newest = begun.order_by("organization_id", "-effective_from", "-id").distinct("organization_id")
    return {
        terms.organization_id: tuple(one for one in (terms.own_price_list_id, terms.plan_price_list_id) if one)
        for terms in newest
    }


class _Told:
    """What a price version changes, in numbers; the prices that it replaces are looked up once."""

    def __init__(self, models: set[int], now: datetime) -> None:
        self._names = dict(Model.objects.filter(pk__in=models).values_list("pk", "public_id"))
        self._before = {
            (version.model_id, version.price_list_id): version.pk
            for version in PriceVersion.objects.standing()
            .filter(model_id__in=models, effective_from__lte=now)
            .order_by("effective_from")
        }
        self._prices: dict[int, dict[str, tuple[int, int]]] = {}

    def of(self, version: PriceVersion) -> dict[str, Any]:
        before = self._before.get((version.model_id, version.price_list_id))
        old, new = self._plain(before), self._plain(version.pk)
        changes = [
            {"meter": meter, "old": old.get(meter), "new": new.get(meter)}
            for meter in {**old, **new}
            if old.get(meter) != new.get(meter)
        ]
        return {"model": self._names[version.model_id], "prices": changes}

    def _plain(self, version: int | None) -> dict[str, tuple[int, int]]:
        """Meter → nano-dollars and per how many units, without tiers and variants."""
        if version is None:
            return {}
        if version not in self._prices:
            rows = Price.objects.filter(version=version, from_input_tokens=0, variant="").order_by("id")
            self._prices[version] = {row.meter: (row.amount_nanos, row.per_units) for row in rows}
        return self._prices[version]


def _shut_downs(now: datetime) -> Iterator[News]:
    ending = {model.pk: model for model in Model.objects.filter(shut_down_at__gt=now).select_related("successor")}
    for organization_id, used in _users(ending, now).items() if ending else ():
        for pk in sorted(used):
            model = ending[pk]
            at = model.shut_down_at.isoformat() if model.shut_down_at else ""
            facts = {"shut_down": model.public_id, "at": at, "successor": getattr(model.successor, "public_id", "")}
            yield News(organization_id, NoticeKind.PRICE_CHANGE, f"shut_down:{model.public_id}:{at}"[:200], facts)
