from typing import TYPE_CHECKING, Self

from django.db import models
from msgspec import convert
from msgspec.structs import asdict, replace

from accounts.identifiers import organization_id
from accounts.models.limits import Limited, at_least_one
from hotstate.records import Limits, OrganizationRecord, Terms

if TYPE_CHECKING:
    from accounts.models.user import User


class Role(models.TextChoices):
    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    DEVELOPER = "developer", "Developer"
    VIEWER = "viewer", "Viewer"


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def of(self, user: "User") -> Self:
        """Those that the user is a member of: every object of the console is looked up from here."""
        return self.filter(memberships__user=user)


class Organization(Limited):
    """Who pays."""

    public_id = models.CharField(max_length=40, unique=True, default=organization_id, editable=False)
    name = models.CharField(max_length=80)
    created_at = models.DateTimeField()
    # One organization comes with a sign-up, however often its steps are repeated.
    signup_user = models.OneToOneField(
        "accounts.User", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    # Its own limits bind where it has any, else its plan's; null is what the plan says. `plan_…` is written by
    # `organizations.set_plan` alone: what a plan gives is known in the room above.
    overdraft_nanos = models.BigIntegerField("overdraft allowance, nano-dollars", null=True, blank=True)
    plan = models.CharField(max_length=40, blank=True, editable=False)
    plan_limits = models.JSONField(default=dict, editable=False)
    plan_overdraft_nanos = models.BigIntegerField(default=0, editable=False)
    suspended_at = models.DateTimeField(null=True, blank=True)
    # Who or what wants it to be: "staff", or what billing names. It is suspended as long as one of them does.
    suspended_for = models.JSONField(default=list, editable=False)
    # What it buys at, as `hotstate.records.Terms`: those in force and those to come. billing.terms keeps them.
    terms = models.JSONField(default=list, editable=False)
    # Names of endpoints in preview that it may use.
    previews = models.JSONField(default=list, editable=False)
    # Grows with every change that the inference path must see; Valkey refuses an older one.
    version = models.BigIntegerField(default=1, editable=False)
    # The newest version that Valkey is known to have, and by its clock when it had it.
    published_version = models.BigIntegerField(default=0, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    members: "models.ManyToManyField[User, Membership]" = models.ManyToManyField(
        "accounts.User", through="accounts.Membership", related_name="organizations"
    )

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(overdraft_nanos__gte=0) | models.Q(overdraft_nanos=None),
                name="organization_overdraft_not_negative",
            ),
            models.CheckConstraint(
                condition=models.Q(plan_overdraft_nanos__gte=0), name="organization_plan_overdraft_not_negative"
            ),
            models.CheckConstraint(condition=~models.Q(name=""), name="organization_has_a_name"),
            *at_least_one("organization"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return f"/o/{self.public_id}/"

    @property
    def disputed(self) -> bool:
        """Whether it is suspended because a bank takes a payment back."""
        return any(cause.startswith("dispute ") for cause in self.suspended_for)

    @property
    def in_force(self) -> bool:
        """Whether every gateway decides by what is stored here."""
        return self.published_version >= self.version

    @property
    def limits_in_force(self) -> Limits:
        """What binds: each limit its own, else its plan's."""
        given = convert(self.plan_limits, Limits)
        own = {name: most for name, most in asdict(self.limits).items() if most is not None}
        return replace(given, **own)

    @property
    def overdraft_in_force_nanos(self) -> int:
        """How far below zero it may spend: as much as was set for it, else as its plan allows."""
        return self.plan_overdraft_nanos if self.overdraft_nanos is None else self.overdraft_nanos

    def record(self) -> OrganizationRecord:
        """As the inference path sees it."""
        return OrganizationRecord(
            org=self.public_id,
            version=self.version,
            suspended=self.suspended_at is not None,
            overdraft_nanos=self.overdraft_in_force_nanos,
            limits=self.limits_in_force,
            terms=convert(self.terms, tuple[Terms, ...]),
            plan=self.plan,
            previews=tuple(self.previews),
        )


class Membership(models.Model):
    """A user's place in an organization."""

    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="memberships")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "organization"], name="one_membership_per_user_and_organization")
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role}) of {self.organization}"

    @property
    def may_write(self) -> bool:
        """Whether this member may create and revoke keys."""
        return self.role != Role.VIEWER

    @property
    def may_pay(self) -> bool:
        """Whether this member may choose what the organization pays for."""
        return self.role in (Role.OWNER, Role.ADMIN)
