"""Which grants a charge burns: by priority, then soonest expiry, then id. What burned is recorded, to be unwound.

A grant that has expired burns until it is taken back: usage from before may still be on its way (`billing.expiry`).
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Self

from django.db import connection

from billing.models import CreditGrant

if TYPE_CHECKING:
    from billing.ledger import GrantTerms

NEVER = datetime.max.replace(tzinfo=UTC)


class Rank(NamedTuple):
    """A grant's place in the order of burning."""

    priority: int
    expires_at: datetime
    grant_id: int


@dataclass(slots=True)
class Pool:
    """What a grant has left, nano-dollars."""

    rank: Rank
    remaining_nanos: int
    source: str


class Burn(NamedTuple):
    """What a transaction took from a grant; negative: gave back to it."""

    grant_id: int
    transaction_id: int
    amount_nanos: int


# What a transaction and its corrections took from each grant, the latest first. An expired grant takes nothing back.
UNWINDABLE = """
WITH family AS (
    SELECT id AS root, id FROM unnest(%(roots)s::bigint[]) AS root (id)
    UNION ALL SELECT corrects_id, id FROM billing_ledgertransaction WHERE corrects_id = ANY(%(roots)s::bigint[])
)
SELECT root, sum(burn.amount_nanos)::bigint, credit.priority, credit.expires_at, credit.id, credit.remaining_nanos,
    credit.source
FROM family JOIN billing_grantburn AS burn ON burn.transaction_id = family.id
    JOIN billing_creditgrant AS credit ON credit.id = burn.grant_id
WHERE (credit.expires_at IS NULL OR credit.expires_at > %(now)s) AND NOT EXISTS (
    SELECT FROM billing_ledgertransaction WHERE operation_key = 'expiry:' || credit.id
)
GROUP BY root, credit.id HAVING sum(burn.amount_nanos) > 0 ORDER BY root, max(burn.id) DESC
"""


@dataclass
class Pools:
    """The grants of some organizations in burn order; changes are written by `save`.

    Takes no lock: whoever changes a grant has locked its organization's balance.
    """

    now: datetime
    queues: dict[int, list[Pool]] = field(default_factory=lambda: defaultdict(list))
    unwindable: dict[int, list[tuple[Pool, int]]] = field(default_factory=lambda: defaultdict(list))
    known: dict[int, Pool] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    burns: list[Burn] = field(default_factory=list)

    @classmethod
    def load(cls, organization_ids: Iterable[int], now: datetime, *, unwinding: Iterable[int] = ()) -> Self:
        """Read what can burn of these organizations, and what these transactions (by pk) have burned."""
        pools = cls(now)
        found = CreditGrant.objects.filter(organization_id__in=organization_ids, remaining_nanos__gt=0)
        columns = ("organization_id", "priority", "expires_at", "id", "remaining_nanos", "source")
        for organization_id, priority, expires_at, grant_id, remaining, source in found.values_list(*columns):
            pool = pools._know(Rank(priority, expires_at or NEVER, grant_id), remaining, source)
            pools.queues[organization_id].append(pool)
        for queue in pools.queues.values():
            queue.sort(key=_rank)
        for root, burned, priority, expires_at, grant_id, remaining, source in _unwindable(list(unwinding), now):
            pool = pools._know(Rank(priority, expires_at or NEVER, grant_id), remaining, source)
            pools.unwindable[root].append((pool, burned))
        return pools

    def _know(self, rank: Rank, remaining: int, source: str) -> Pool:
        return self.known.setdefault(rank.grant_id, Pool(rank, remaining, source))

    def burn(self, organization_id: int, wanted: int, transaction_id: int, *, sparing: str | None = None) -> int:
        """Take up to `wanted` nano-dollars, none of grants of the source to spare, and return how much there was."""
        left, place = wanted, 0
        queue = self.queues[organization_id]
        while left and place < len(queue):
            pool = queue[place]
            if pool.source == sparing:
                place += 1
                continue
            if taken := min(left, pool.remaining_nanos):
                left -= taken
                self._record(pool, taken, transaction_id)
            if not pool.remaining_nanos:
                queue.pop(place)
        return wanted - left

    def empty(self, grant_id: int, wanted: int, transaction_id: int) -> int:
        """Take `wanted` nano-dollars, which it has, from this grant, wherever it is in the order."""
        grant = CreditGrant.objects.get(pk=grant_id)
        pool = self._know(
            Rank(grant.priority, grant.expires_at or NEVER, grant_id), grant.remaining_nanos, grant.source
        )
        self._record(pool, wanted, transaction_id)
        return wanted

    def unwind(self, organization_id: int, root: int, wanted: int, transaction_id: int) -> int:
        """Give back up to `wanted` nano-dollars of what a transaction burned, the latest first; return how much."""
        left = wanted
        for pool, burned in self.unwindable[root]:
            given = min(left, burned)
            if given:
                if not pool.remaining_nanos:
                    insort(self.queues[organization_id], pool, key=_rank)
                self._record(pool, -given, transaction_id)
                left -= given
        return wanted - left

    def grant(self, organization_id: int, nanos: int, paid_debt: int, transaction_id: int, terms: "GrantTerms") -> None:
        """Add a grant, of which a debt took its part at once."""
        grant = CreditGrant.objects.create(
            organization_id=organization_id,
            source=terms.source,
            priority=terms.priority,
            amount_nanos=nanos,
            remaining_nanos=nanos - paid_debt,
            granted_at=self.now,
            expires_at=terms.expires_at,
            transaction_id=transaction_id,
        )
        pool = self._know(Rank(terms.priority, terms.expires_at or NEVER, grant.pk), nanos - paid_debt, terms.source)
        if paid_debt:
            self.burns.append(Burn(grant.pk, transaction_id, paid_debt))
        if pool.remaining_nanos:
            insort(self.queues[organization_id], pool, key=_rank)

    def _record(self, pool: Pool, nanos: int, transaction_id: int) -> None:
        pool.remaining_nanos -= nanos
        self.touched.add(pool.rank.grant_id)
        self.burns.append(Burn(pool.rank.grant_id, transaction_id, nanos))

    def save(self) -> None:
        """Write remainders and burns."""
        if not self.burns:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE billing_creditgrant SET remaining_nanos = new.remaining"
                " FROM unnest(%s::bigint[], %s::bigint[]) AS new (id, remaining) WHERE billing_creditgrant.id = new.id",
                [list(self.touched), [self.known[grant_id].remaining_nanos for grant_id in self.touched]],
            )
            cursor.execute(
                "INSERT INTO billing_grantburn (grant_id, transaction_id, amount_nanos)"
                " SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[])",
                [list(column) for column in zip(*self.burns, strict=True)],
            )


def _rank(pool: Pool) -> Rank:
    return pool.rank


def _unwindable(roots: list[int], now: datetime) -> Iterator[tuple[int, int, int, datetime | None, int, int, str]]:
    if roots:
        with connection.cursor() as cursor:
            cursor.execute(UNWINDABLE, {"roots": roots, "now": now})
            yield from cursor.fetchall()
