"""Which grants a charge burns: by priority, then soonest expiry, then id. What burned is recorded."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Self

from django.db import connection
from django.db.models import F

from billing.models import CreditGrant

if TYPE_CHECKING:
    from billing.ledger import GrantTerms


@dataclass(slots=True)
class Pool:
    """What a grant has left, nano-dollars."""

    grant_id: int
    remaining_nanos: int


class Burn(NamedTuple):
    grant_id: int
    transaction_id: int
    amount_nanos: int


@dataclass
class Pools:
    """The grants of some organizations in burn order; changes are written by `save`."""

    grants: dict[int, list[Pool]] = field(default_factory=lambda: defaultdict(list))
    touched: dict[int, Pool] = field(default_factory=dict)
    burns: list[Burn] = field(default_factory=list)

    @classmethod
    def load(cls, organization_ids: Iterable[int], now: datetime) -> Self:
        """Read what can burn. Takes no lock: whoever changes a grant has locked its organization's balance."""
        pools = cls()
        found = CreditGrant.objects.filter(organization_id__in=organization_ids, remaining_nanos__gt=0)
        in_order = found.exclude(expires_at__lte=now).order_by(
            "organization_id", "priority", F("expires_at").asc(nulls_last=True), "id"
        )
        for organization_id, grant_id, remaining in in_order.values_list("organization_id", "id", "remaining_nanos"):
            pools.grants[organization_id].append(Pool(grant_id, remaining))
        return pools

    def burn(self, organization_id: int, wanted: int, transaction_id: int) -> int:
        """Take up to `wanted` nano-dollars and return how much there was."""
        left = wanted
        queue = self.grants[organization_id]
        while left and queue:
            pool = queue[0]
            taken = min(left, pool.remaining_nanos)
            pool.remaining_nanos -= taken
            left -= taken
            self.touched[pool.grant_id] = pool
            self.burns.append(Burn(pool.grant_id, transaction_id, taken))
            if not pool.remaining_nanos:
                queue.pop(0)
        return wanted - left

    def grant(
        self, organization_id: int, nanos: int, paid_debt: int, transaction_id: int, terms: "GrantTerms", now: datetime
    ) -> None:
        """Add a grant, of which a debt took its part at once."""
        grant = CreditGrant.objects.create(
            organization_id=organization_id,
            source=terms.source,
            priority=terms.priority,
            amount_nanos=nanos,
            remaining_nanos=nanos - paid_debt,
            granted_at=now,
            expires_at=terms.expires_at,
            transaction_id=transaction_id,
        )
        if paid_debt:
            self.burns.append(Burn(grant.pk, transaction_id, paid_debt))

    def save(self) -> None:
        """Write remainders and burns."""
        if not self.burns:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE billing_creditgrant SET remaining_nanos = new.remaining"
                " FROM unnest(%s::bigint[], %s::bigint[]) AS new (id, remaining) WHERE billing_creditgrant.id = new.id",
                [list(self.touched), [pool.remaining_nanos for pool in self.touched.values()]],
            )
            cursor.execute(
                "INSERT INTO billing_grantburn (grant_id, transaction_id, amount_nanos)"
                " SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[])",
                [list(column) for column in zip(*self.burns, strict=True)],
            )
