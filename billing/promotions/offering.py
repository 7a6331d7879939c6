"""Staff make codes and stop them."""

from datetime import datetime

from django.db import IntegrityError, transaction

from accounts.models import User
from accounts.models.audit import record
from billing.models import PromotionCode
from billing.promotions.redeeming import CodeError, normal


def create(
    typed: str,
    nanos: int,
    *,
    note: str,
    first_top_up_only: bool,
    expires_at: datetime | None,
    credit_days: int | None,
    uses_most: int | None,
    actor: User,
    now: datetime,
) -> PromotionCode:
    """Let whoever knows it have so many nano-dollars. Raises CodeError where there is such a code, or it is no code."""
    code = normal(typed)
    if not code:
        raise CodeError("A code has letters, digits and hyphens, 4 to 40.")
    if expires_at and expires_at <= now:
        raise CodeError("It would have expired already.")
    try:
        with transaction.atomic():
            made = PromotionCode.objects.create(
                code=code,
                nanos=nanos,
                note=note,
                first_top_up_only=first_top_up_only,
                expires_at=expires_at,
                credit_days=credit_days,
                uses_most=uses_most,
                created_at=now,
                created_by=actor,
            )
            after = {
                "nanos": nanos,
                "uses_most": uses_most,
                "credit_days": credit_days,
                "expires_at": expires_at,
                "first_top_up_only": first_top_up_only,
            }
            record("promotion.create", code, actor=actor, after=after, reason=note, now=now)
    except IntegrityError:
        raise CodeError("There is such a code already.") from None
    return made


def stop(code: PromotionCode, *, actor: User, now: datetime) -> None:
    """Nobody redeems it any more; what was redeemed stays."""
    with transaction.atomic():
        if PromotionCode.objects.filter(pk=code.pk, stopped_at=None).update(stopped_at=now):
            record("promotion.stop", code.code, actor=actor, after={"uses": code.uses}, now=now)
