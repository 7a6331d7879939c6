"""Which notices there are, what they tell, and who gets them unless they choose otherwise."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from accounts.models import Membership, Role
from billing.models import NoticeChoice, NoticeKind

_ALL = frozenset({Role.OWNER, Role.ADMIN})
_WITH_DEVELOPERS = _ALL | {Role.DEVELOPER}


@dataclass(frozen=True)
class Told:
    """`tells` is a sentence for the page of preferences."""

    tells: str
    roles: frozenset[Role]


KINDS: dict[NoticeKind, Told] = {
    NoticeKind.LOW_BALANCE: Told("The balance fell below an amount that the organization chose.", _ALL),
    NoticeKind.KEY_BUDGET: Told("A key has used 80 % of a budget, or all of it.", _WITH_DEVELOPERS),
    NoticeKind.KEY_EXPIRY: Told("A key expires in seven days, or tomorrow.", _WITH_DEVELOPERS),
    NoticeKind.PLAN: Told("The plan was renewed, couldn't be renewed, or ended.", _ALL),
    NoticeKind.PRICE_CHANGE: Told(
        "A model that was used in the last 30 days gets another price, or is shut down.", _WITH_DEVELOPERS
    ),
    NoticeKind.RECEIPT: Told("A top-up was paid: the receipt.", _ALL),
    NoticeKind.REFUND: Told("Some of a top-up was refunded, or its refund didn't arrive.", _ALL),
    NoticeKind.DISPUTE: Told("A bank disputes a top-up, or has decided about it.", _ALL),
    NoticeKind.CARD: Told(
        "A payment that was to be made by itself failed, stopped, or waits for you to confirm it at the bank.", _ALL
    ),
}


def wanted(member: Membership) -> dict[NoticeKind, bool]:
    """What a member gets."""
    return wanted_by([member])[member.pk]


def wanted_by(members: Iterable[Membership]) -> dict[int, dict[NoticeKind, bool]]:
    """Membership pk → what that member gets."""
    members = list(members)
    chosen: dict[tuple[int, str], bool] = {
        (choice.membership_id, choice.kind): choice.wanted
        for choice in NoticeChoice.objects.filter(membership__in=members)
    }
    return {member.pk: _of(member, chosen) for member in members}


def _of(member: Membership, chosen: Mapping[tuple[int, str], bool]) -> dict[NoticeKind, bool]:
    return {kind: chosen.get((member.pk, kind.value), member.role in told.roles) for kind, told in KINDS.items()}


def choose(member: Membership, choices: dict[NoticeKind, bool]) -> None:
    """Keep what a member wants."""
    NoticeChoice.objects.bulk_create(
        [NoticeChoice(membership=member, kind=kind, wanted=wanted) for kind, wanted in choices.items()],
        update_conflicts=True,
        unique_fields=["membership", "kind"],
        update_fields=["wanted"],
    )
