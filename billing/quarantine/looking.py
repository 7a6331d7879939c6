"""What waits in quarantine, by reason and by kind."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Min, QuerySet, Sum

from billing.models import QuarantinedLine, QuarantineReason, Segment


@dataclass(frozen=True)
class Kind:
    """Lines that wait for the same reason; empty is any."""

    reason: str
    detail: str = ""
    source: str = ""

    def open(self) -> QuerySet[QuarantinedLine]:
        found = QuarantinedLine.objects.open().filter(reason=self.reason)
        if self.detail:
            found = found.filter(detail=self.detail)
        return found.filter(segment__source=self.source) if self.source else found


def reasons() -> list[tuple[str, int, datetime]]:
    """What waits: (reason, lines, when the oldest came), the most first."""
    found = QuarantinedLine.objects.open().values_list("reason").annotate(count=Sum("lines"), first=Min("pk"))
    firsts = {reason: first for reason, _, first in found}
    came = dict(
        QuarantinedLine.objects.filter(pk__in=firsts.values()).values_list("reason", "segment__received_at").order_by()
    )
    return [(reason, count, came[reason]) for reason, count, _ in found.order_by("-count", "reason")]


def details(kind: Kind, most: int = 20) -> list[tuple[str, int]]:
    """The commonest details of a kind."""
    found = kind.open().values_list("detail").annotate(count=Sum("lines"))
    return list(found.order_by("-count", "detail")[:most])


def reasons_of(segment: Segment) -> dict[str, int]:
    """Why lines of a segment are in quarantine, open or resolved."""
    found = segment.quarantined_lines.values_list("reason").annotate(count=Sum("lines"))
    return dict(found.order_by("reason"))


def named(reasons: dict[str, int]) -> list[tuple[str, str, int]]:
    """(reason, in words, lines)."""
    return [(reason, QuarantineReason(reason).label, count) for reason, count in reasons.items()]
