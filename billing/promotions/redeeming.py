"""Redeeming a code: once per organization, however often and from however many places it is asked for."""

import re
from datetime import datetime, timedelta

from django.db import transaction

from accounts.models import Organization, User
from accounts.models.audit import record
from billing import ledger
from billing.models import (
    Account,
    CreditGrant,
    PromotionCode,
    PromotionPromise,
    PromotionRedemption,
    TopUp,
    TransactionKind,
)

PRIORITY = 15
"""What was given burns before what was bought, and after the free starting balance."""

FORM = re.compile(r"[A-Z0-9-]{4,40}")
UNUSABLE = "This code can't be used. It may be mistyped, or not valid any more."
"""One answer for what isn't there, expired, stopped or used up: nobody learns by guessing which codes there are."""

REDEEMED = "Your organization has redeemed this code already."
WITH_TOP_UP = "This code comes with a first top-up: enter it there."
NOT_FIRST = "This code is for a first top-up, and your organization has topped up before."


class CodeError(ValueError):
    """It can't be redeemed; the message says why, where that tells nothing to who only guesses."""

    def __init__(self, message: str, *, guess: bool = False) -> None:
        super().__init__(message)
        self.guess = guess


def normal(typed: str) -> str:
    """A code as it is kept; empty where no code looks so."""
    code = "".join(typed.split()).upper()
    return code if FORM.fullmatch(code) else ""


def redeem(organization: Organization, typed: str, *, actor: User, now: datetime) -> PromotionRedemption:
    """Give an organization the credit of a code. Raises CodeError, and ledger.BalanceTooLarge."""
    with transaction.atomic():
        # In the order of `keep`: the balance, then the code.
        ledger.lock([organization.pk])
        code = _usable(organization, typed, now)
        if code.first_top_up_only:
            raise CodeError(WITH_TOP_UP)
        return _grant(code, organization, actor, now)


def check(organization: Organization, typed: str, *, now: datetime) -> PromotionCode:
    """The code that somebody types when a top-up begins. Raises CodeError where that couldn't redeem it."""
    with transaction.atomic():
        code = _usable(organization, typed, now)
        if code.first_top_up_only and _topped_up(organization.pk):
            raise CodeError(NOT_FIRST)
        return code


def promise(top_up: TopUp, code: PromotionCode) -> None:
    """Redeem it once this top-up is paid."""
    PromotionPromise.objects.get_or_create(top_up=top_up, defaults={"code": code})


def promised(top_up: TopUp) -> PromotionCode | None:
    """The code that comes with it once it is paid."""
    return PromotionCode.objects.filter(pk__in=PromotionPromise.objects.filter(top_up=top_up).values("code")).first()


def kept(top_up: TopUp) -> bool:
    """Whether what was promised with it came with its payment."""
    if top_up.paid_at is None:
        return False
    with_it = PromotionRedemption.objects.filter(organization=top_up.organization_id, redeemed_at=top_up.paid_at)
    return with_it.filter(code__in=PromotionPromise.objects.filter(top_up=top_up).values("code")).exists()


def keep(top_up: TopUp, now: datetime) -> None:
    """The top-up was credited just now: redeem what was promised with it. In that transaction, which holds the balance.

    A code that expired since the top-up began counts; one that was stopped, used up or redeemed meanwhile doesn't.
    """
    promised = PromotionPromise.objects.filter(top_up=top_up).values_list("code_id", flat=True).first()
    if promised is None:
        return
    code = PromotionCode.objects.select_for_update(no_key=True).get(pk=promised)
    redeemed = PromotionRedemption.objects.filter(code=code, organization_id=top_up.organization_id).exists()
    # Whoever pays two at once waits here for the other's commit, because the ledger has locked the balance.
    before = code.first_top_up_only and _topped_up(top_up.organization_id, but=top_up.pk)
    if code.stopped_at or code.used_up or redeemed or before:
        return
    _grant(code, top_up.organization, top_up.actor, now)


def _usable(organization: Organization, typed: str, now: datetime) -> PromotionCode:
    code = PromotionCode.objects.select_for_update(no_key=True).filter(code=normal(typed)).first()
    if code is None:
        raise CodeError(UNUSABLE, guess=True)
    if PromotionRedemption.objects.filter(code=code, organization=organization).exists():
        raise CodeError(REDEEMED)
    if code.stopped_at or code.used_up or (code.expires_at and code.expires_at <= now):
        raise CodeError(UNUSABLE, guess=True)
    return code


def _topped_up(organization_id: int, but: int = 0) -> bool:
    return TopUp.objects.filter(organization_id=organization_id, state=TopUp.State.PAID).exclude(pk=but).exists()


def _grant(code: PromotionCode, organization: Organization, actor: User | None, now: datetime) -> PromotionRedemption:
    """The caller's transaction holds the code's row."""
    expires_at = now + timedelta(days=code.credit_days) if code.credit_days else None
    movement = ledger.Movement(
        operation_key=f"promotion:{code.pk}:{organization.pk}",
        kind=TransactionKind.GRANT,
        organization_id=organization.pk,
        nanos=code.nanos,
        counter=Account.PROMOTIONS,
        event_day=now.date(),
        grant=ledger.GrantTerms(source=CreditGrant.Source.PROMOTION, priority=PRIORITY, expires_at=expires_at),
        reason=f"Promotion code {code}",
        actor_id=actor.pk if actor else None,
    )
    posted = ledger.post([movement], now=now).transactions[movement.operation_key]
    code.uses += 1
    code.save(update_fields=["uses"])
    record(
        "promotion.redeem",
        code.code,
        actor=actor,
        organization=organization,
        after={"nanos": code.nanos},
        now=now,
    )
    return PromotionRedemption.objects.create(
        code=code, organization=organization, actor=actor, redeemed_at=now, transaction_id=posted
    )
