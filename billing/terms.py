"""On what terms an organization buys: price lists, discounts, models. By the moment of a request, never edited."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypedDict, Unpack

import msgspec
from django.db import transaction

from accounts import organizations
from accounts.models import Organization, User
from billing.models import OrganizationTerms, PriceList
from billing.prices import NOTICE
from hotstate.records import OrganizationRecord, Terms

NO_TERMS = Terms(effective_ms=0)
# Gateways settle requests that began a while ago by the terms of then.
KEPT = timedelta(days=1)
MOST_KEPT = 50
MOST_MODELS = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class TermsError(ValueError):
    """Terms that can't be; the message says why."""


class Changes(TypedDict, total=False):
    """What other terms name. A discount is basis points off the public list; None is none of its own.

    `allowed_models` are ids or patterns with `*`; none is every model.
    """

    own_price_list: PriceList | None
    own_discount_bp: int | None
    plan_price_list: PriceList | None
    plan_discount_bp: int | None
    allowed_models: list[str]


def in_force(history: Sequence[Terms], at_ms: int) -> Terms:
    """The terms of a moment (Unix milliseconds), given all in the order of their starts. Pure."""
    for terms in reversed(history):
        if terms.effective_ms <= at_ms:
            return terms
    return NO_TERMS


def terms_of(organization: OrganizationRecord | None, at: datetime) -> Terms:
    """The terms of a moment, as gateways know the organization; nobody's where there is none. Pure."""
    return in_force(organization.terms, milliseconds(at)) if organization and organization.terms else NO_TERMS


def milliseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MILLISECOND


def change_terms(
    organization: Organization,
    *,
    now: datetime,
    actor: User | None,
    reason: str,
    effective_from: datetime | None = None,
    **changes: Unpack[Changes],
) -> list[int]:
    """Let an organization buy on other terms from a moment, or as soon as gateways can know. What isn't named stays.

    Terms that begin later keep what they changed and take over the rest. In the caller's transaction, who gives the
    result to `organizations.require_in_force` after the commit. Raises TermsError.
    """
    _check(changes)
    starts = _whole_milliseconds(effective_from or now + NOTICE)
    if starts < now + NOTICE:
        raise TermsError("Terms can't start in the past: requests were already charged on the old ones.")
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        standing = _standing(organization)
        before = next((row for row in reversed(standing) if row.effective_from <= starts), OrganizationTerms())
        if not _differing(before, changes):
            return []
        made = [_row(before, changes, starts)]
        # Of what starts later, only what it took over is taken over again.
        rest: Mapping[str, object] = changes
        for row in (row for row in standing if row.effective_from > starts):
            rest = {name: value for name, value in rest.items() if not _differing(before, {name: getattr(row, name)})}
            if not rest:
                break
            made.append(_row(row, rest, row.effective_from))
            before = row
        for row in made:
            row.organization, row.created_at, row.created_by, row.reason = organization, now, actor, reason
        OrganizationTerms.objects.bulk_create(made)
        kept = [msgspec.to_builtins(terms) for terms in _kept(histories([organization.pk])[organization.pk], now)]
        return organizations.set_terms(organization, kept, actor=actor, reason=reason, now=now)


def histories(organization_ids: Iterable[int] | None = None) -> dict[int, tuple[Terms, ...]]:
    """Organization pk → its terms, in the order of their starts; of all organizations, where none are named.

    Who never had any isn't there.
    """
    rows = OrganizationTerms.objects.all()
    if organization_ids is not None:
        rows = rows.filter(organization_id__in=list(organization_ids))
    found: dict[int, list[Terms]] = {}
    for row in rows.order_by("organization_id", "effective_from", "id"):
        terms = found.setdefault(row.organization_id, [])
        # Of those that start together the last one counts.
        if terms and terms[-1].effective_ms == milliseconds(row.effective_from):
            terms.pop()
        terms.append(_terms(row))
    return {pk: tuple(terms) for pk, terms in found.items()}


def _terms(row: OrganizationTerms) -> Terms:
    return Terms(
        effective_ms=milliseconds(row.effective_from),
        own_list=row.own_price_list_id,
        own_discount_bp=row.own_discount_bp,
        plan_list=row.plan_price_list_id,
        plan_discount_bp=row.plan_discount_bp,
        models=frozenset(row.allowed_models),
    )


def _standing(organization: Organization) -> list[OrganizationTerms]:
    """In the order of their starts, one for each."""
    rows = OrganizationTerms.objects.filter(organization=organization).order_by("effective_from", "id")
    rows = rows.select_related("own_price_list", "plan_price_list")
    return list({row.effective_from: row for row in rows}.values())


def _differing(row: OrganizationTerms, values: Mapping[str, object]) -> bool:
    return any(getattr(row, name) != value for name, value in values.items())


def _row(base: OrganizationTerms, changes: Mapping[str, object], starts: datetime) -> OrganizationTerms:
    values = {name: getattr(base, name) for name in Changes.__annotations__}
    return OrganizationTerms(effective_from=starts, **{**values, **changes})


def _kept(history: Sequence[Terms], now: datetime) -> Sequence[Terms]:
    """What gateways need: from the terms of a while ago on."""
    oldest = in_force(history, milliseconds(now - KEPT))
    return [terms for terms in history if terms.effective_ms >= oldest.effective_ms][-MOST_KEPT:]


def _whole_milliseconds(moment: datetime) -> datetime:
    """Not before that: admissions are told to the millisecond."""
    return moment + timedelta(microseconds=-moment.microsecond % 1000)


def _check(changes: Changes) -> None:
    if not changes:
        raise TermsError("Nothing is to be changed.")
    for discount in (changes.get("own_discount_bp"), changes.get("plan_discount_bp")):
        if discount is not None and not 0 <= discount <= 10_000:
            raise TermsError(f"A discount of {discount} basis points is out of bounds: 0 to 10,000.")
    models = changes.get("allowed_models", [])
    if len(models) > MOST_MODELS or not all(0 < len(model) <= 200 for model in models):
        raise TermsError(f"At most {MOST_MODELS} models can be named, each an id or a pattern of up to 200 characters.")
