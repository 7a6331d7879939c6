"""Opening, suspending and reinstating organizations."""

from datetime import datetime
from typing import Any

from django.db import transaction
from msgspec.structs import asdict

from accounts.models import Membership, Organization, Role, User, audit
from hotstate import outbox
from hotstate.records import Limits

STAFF = "staff"
"""The cause of a suspension that staff asked for."""


def open_organization(*, name: str, owner: User, now: datetime, signup: bool = False) -> Organization:
    """Create an organization with its owner. With `signup`, the one that a sign-up brings: asked again, the same."""
    with transaction.atomic():
        signup_user = owner if signup else None
        if signup:
            organization, created = Organization.objects.get_or_create(
                signup_user=signup_user, defaults={"name": name, "created_at": now}
            )
        else:
            organization, created = Organization.objects.create(name=name, created_at=now), True
        if created:
            Membership.objects.create(user=owner, organization=organization, role=Role.OWNER, created_at=now)
            audit.record(
                "organization.open",
                organization.public_id,
                actor=owner,
                organization=organization,
                after={"name": name},
                now=now,
            )
            outbox.add([organization.record()], now=now)
    return organization


def rename(organization: Organization, name: str, *, actor: User, now: datetime) -> None:
    """Change the name that people see."""
    _change(organization, "organization.rename", {"name": name}, actor=actor, now=now)


def suspend(organization: Organization, *, actor: User | None, reason: str, now: datetime) -> None:
    """Refuse all of its keys. Returns once Valkey has it; raises hotstate.errors.Unreachable as `revoke_key` does."""
    _deliver(organization, hold(organization, STAFF, actor=actor, reason=reason, now=now))


def reinstate(organization: Organization, *, actor: User | None, reason: str, now: datetime) -> None:
    """Let its keys work again, whatever it was suspended for. Returns once Valkey has it, as `suspend` does."""
    changes: dict[str, Any] = {"suspended_at": None, "suspended_for": []}
    entries = _change(organization, "organization.reinstate", changes, actor=actor, reason=reason, now=now)
    _deliver(organization, entries)


def hold(organization: Organization, cause: str, *, actor: User | None, reason: str, now: datetime) -> list[int]:
    """Suspend it for a cause, beside others that there may be. In the caller's transaction, as `set_plan`."""
    with transaction.atomic():
        locked = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        causes = sorted({*locked.suspended_for, cause})
        changes = {"suspended_at": locked.suspended_at or now, "suspended_for": causes}
        return _change(organization, "organization.suspend", changes, actor=actor, reason=reason, now=now)


def release(organization: Organization, cause: str, *, reason: str, now: datetime) -> list[int]:
    """A cause is gone: reinstate it unless another holds. Nothing, where staff have reinstated it before."""
    with transaction.atomic():
        locked = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        if cause not in locked.suspended_for:
            return []
        causes = [other for other in locked.suspended_for if other != cause]
        changes = {"suspended_at": locked.suspended_at if causes else None, "suspended_for": causes}
        action = "organization.release" if causes else "organization.reinstate"
        return _change(organization, action, changes, actor=None, reason=reason, now=now)


def set_limits(
    organization: Organization, limits: Limits, *, overdraft_nanos: int | None, actor: User, reason: str, now: datetime
) -> None:
    """How much at once, and how far below zero, in nano-dollars; null is what its plan says.

    Returns once Valkey has it, as `suspend` does.
    """
    changes = {**asdict(limits), "overdraft_nanos": overdraft_nanos}
    entries = _change(organization, "organization.limits", changes, actor=actor, reason=reason, now=now)
    _deliver(organization, entries)


def set_previews(organization: Organization, previews: list[str], *, actor: User, reason: str, now: datetime) -> None:
    """Which endpoints in preview it may use, by name. Returns once Valkey has it, as `suspend` does."""
    changes = {"previews": sorted(previews)}
    entries = _change(organization, "organization.previews", changes, actor=actor, reason=reason, now=now)
    _deliver(organization, entries)


def set_plan(
    organization: Organization,
    *,
    plan: str,
    limits: Limits,
    overdraft_nanos: int,
    actor: User | None,
    reason: str,
    now: datetime,
) -> list[int]:
    """What its plan (by slug, empty for none) allows where nothing was set for the organization itself.

    In the caller's transaction. The caller gives the result to `require_in_force` after its commit.
    """
    given = {name: most for name, most in asdict(limits).items() if most is not None}
    changes = {"plan": plan, "plan_limits": given, "plan_overdraft_nanos": overdraft_nanos}
    return _change(organization, "organization.plan", changes, actor=actor, reason=reason, now=now)


def require_in_force(organization: Organization, entries: list[int]) -> None:
    """Return once Valkey has a change that was committed. Raises hotstate.errors.Unreachable: it will have it later."""
    _deliver(organization, entries)


def set_terms(
    organization: Organization, terms: list[Any], *, actor: User | None, reason: str, now: datetime
) -> list[int]:
    """What it buys at, as the inference path reads it; `billing.terms` alone calls this. Otherwise as `set_plan`."""
    return _change(organization, "organization.terms", {"terms": terms}, actor=actor, reason=reason, now=now)


def _change(
    organization: Organization,
    action: str,
    changes: dict[str, Any],
    *,
    actor: User | None,
    now: datetime,
    reason: str = "",
) -> list[int]:
    with transaction.atomic():
        # Not its identity: usage that is being posted refers to it, and nobody waits for that to suspend.
        locked = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        before = {name: getattr(locked, name) for name in changes}
        for name, value in changes.items():
            setattr(locked, name, value)
        locked.version += 1
        locked.save(update_fields=[*changes, "version"])
        audit.record(
            action,
            organization.public_id,
            actor=actor,
            organization=locked,
            before=before,
            after=changes,
            reason=reason,
            now=now,
        )
        entries = outbox.add([locked.record()], now=now)
    organization.refresh_from_db()
    return entries


def _deliver(organization: Organization, entries: list[int]) -> None:
    outbox.require_delivered(entries)
    organization.refresh_from_db()
