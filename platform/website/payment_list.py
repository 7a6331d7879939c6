"""Payments as staff look for them."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.http import QueryDict

from billing.models import Dispute, Refund, TopUp

STATES = [
    ("", "Any state"),
    *TopUp.State.choices,
    ("trouble", "Doesn't fit"),
    ("refunded", "With refunds"),
    ("disputed", "Disputed"),
]


@dataclass(frozen=True)
class Wanted:
    """What the address asks for."""

    query: str = ""
    state: str = ""

    @classmethod
    def of(cls, asked: QueryDict) -> "Wanted":
        state = asked.get("state", "")
        return cls(asked.get("q", "").strip()[:200], state if state in dict(STATES) else "")

    @property
    def parts(self) -> dict[str, str]:
        return {"q": self.query, "state": self.state}


def found(wanted: Wanted) -> QuerySet[TopUp]:
    """Top-ups with what went back of each, the newest first."""
    rows = _in_state(wanted.state).order_by("-pk").select_related("organization", "transaction")
    refunds = Prefetch("refunds", Refund.objects.exclude(state=Refund.State.FAILED))
    return _matching(rows, wanted.query).prefetch_related(refunds, "disputes")


def _in_state(state: str) -> QuerySet[TopUp]:
    rows = TopUp.objects.all()
    if state == "trouble":
        return rows.exclude(trouble="")
    if state == "refunded":
        return rows.filter(Exists(Refund.objects.filter(top_up=OuterRef("pk"))))
    if state == "disputed":
        return rows.filter(Exists(Dispute.objects.filter(top_up=OuterRef("pk"))))
    return rows.filter(state=state) if state else rows


def _matching(rows: QuerySet[TopUp], query: str) -> QuerySet[TopUp]:
    """By any of its ids, or its organization's id or name."""
    if not query:
        return rows
    own = Q(public_id=query) | Q(payment_intent=query) | Q(checkout_session=query) | Q(customer=query)
    whose = Q(organization__public_id=query) | Q(organization__name__icontains=query)
    back = Refund.objects.filter(Q(stripe_id=query) | Q(public_id=query), top_up=OuterRef("pk"))
    disputed = Dispute.objects.filter(Q(stripe_id=query) | Q(public_id=query), top_up=OuterRef("pk"))
    return rows.filter(own | whose | Exists(back) | Exists(disputed))
