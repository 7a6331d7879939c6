"""Which grants a charge burns: by priority, then soonest expiry, then id. What burned is recorded."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.db import connection
from django.db.models import F

from billing.models import CreditGrant, GrantBurn

if TYPE_CHECKING:
    from billing.ledger import GrantTerms


@dataclass
class Pools:
    """The grants of some organizations in burn order; changes are written by `save`."""

    grants: dict[int, list[CreditGrant]] = field(default_factory=lambda: defaultdict(list))
    touched: dict[int, CreditGrant] = field(default_factory=dict)
    burns: list[GrantBurn] = field(default_factory=list)

    @classmethod
    def load(cls, organization_ids: Iterable[int], now: datetime) -> Self:
        """Read what can burn. Takes no lock: whoever changes a grant has locked its organization's balance."""
        pools = cls()
        found = CreditGrant.objects.filter(organization_id__in=organization_ids, remaining_nanos__gt=0)
        for grant in found.exclude(expires_at__lte=now).order_by(
            "organization_id", "priority", F("expires_at").asc(nulls_last=True), "id"
        ):
            pools.grants[grant.organization_id].append(grant)
        return pools

    def burn(self, organization_id: int, wanted: int, transaction_id: int) -> int:
        """Take up to `wanted` nano-dollars and return how much there was."""
        left = wanted
        queue = self.grants[organization_id]
        while left and queue:
            grant = queue[0]
            taken = min(left, grant.remaining_nanos)
            grant.remaining_nanos -= taken
            left -= taken
            self.touched[grant.pk] = grant
            self.burns.append(GrantBurn(grant=grant, transaction_id=transaction_id, amount_nanos=taken))
            if not grant.remaining_nanos:
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
            self.burns.append(GrantBurn(grant=grant, transaction_id=transaction_id, amount_nanos=paid_debt))

    def save(self) -> None:
        """Write remainders and burns."""
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE billing_creditgrant SET remaining_nanos = new.remaining"
                " FROM unnest(%s::bigint[], %s::bigint[]) AS new (id, remaining) WHERE billing_creditgrant.id = new.id",
                [list(self.touched), [grant.remaining_nanos for grant in self.touched.values()]],
            )
        GrantBurn.objects.bulk_create(self.burns)
