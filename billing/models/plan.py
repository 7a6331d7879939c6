from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from accounts.models import Organization
from accounts.models.limits import Limited, at_least_one
from billing.models.ledger import LedgerTransaction
from billing.models.price import PriceList


class Plan(models.Model):
    """What customers subscribe to, under one name. What it costs and gives is its versions'."""

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=60)
    description = models.CharField(max_length=300, blank=True)
    # A private one is offered by staff alone.
    public = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    # Nobody new gets it; those who have it keep it.
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class PlanVersion(Limited):
    """What a plan costs and gives, nano-dollars by period. Never edited: a subscriber keeps what was bought."""

    class Period(models.TextChoices):
        MONTH = "month", "Monthly"
        YEAR = "year", "Yearly"

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    period = models.CharField(max_length=5, choices=Period.choices)
    fee_nanos = models.BigIntegerField()
    included_credit_nanos = models.BigIntegerField(default=0)
    # Included credit that is left goes into the next period, up to what one period includes; else it expires.
    rolls_over = models.BooleanField(default=False)
    overdraft_nanos = models.BigIntegerField(default=0)
    # Ids or patterns with `*`; empty is every model.
    allowed_models = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    # Basis points off the public list's prices.
    discount_bp = models.PositiveIntegerField(default=0)
    # Own prices, that go before the public list's; null is none.
    price_list = models.ForeignKey(PriceList, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    created_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["plan_id", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "number"], name="plan_versions_are_numbered"),
            models.CheckConstraint(condition=Q(fee_nanos__gte=0), name="plan_fee_not_negative"),
            models.CheckConstraint(condition=Q(included_credit_nanos__gte=0), name="plan_credit_not_negative"),
            models.CheckConstraint(condition=Q(overdraft_nanos__gte=0), name="plan_overdraft_not_negative"),
            models.CheckConstraint(condition=Q(discount_bp__lte=10_000), name="plan_discount_at_most_all"),
            *at_least_one("planversion"),
        ]

    def __str__(self) -> str:
        return f"{self.plan}, version {self.number}"


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def current(self) -> "SubscriptionQuerySet":
        """Those that haven't ended."""
        return self.filter(ended_at=None)


class Subscription(models.Model):
    """An organization's plan: paid period by period, each from when it was due. `billing.plans` changes it."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="subscriptions")
    version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="subscriptions")
    started_at = models.DateTimeField()
    # The day of the month on which periods begin; in a month without it, its last day.
    anchor_day = models.PositiveSmallIntegerField()
    # Of the last period that was paid.
    number = models.PositiveIntegerField(default=0)
    period_starts_at = models.DateTimeField()
    period_ends_at = models.DateTimeField()
    # When the period ends: another version begins, or nothing.
    next_version = models.ForeignKey(PlanVersion, null=True, on_delete=models.PROTECT, related_name="+")
    cancels_at_end = models.BooleanField(default=False)
    # The default card may be charged for a fee that the balance doesn't cover.
    by_card = models.BooleanField(default=False)
    # When it is to be renewed, or ended: the period's end, or the night after an attempt that failed.
    due_at = models.DateTimeField()
    past_due_since = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(ended_at=None), name="subscriptions_due")]
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=Q(ended_at=None), name="one_subscription_per_organization"
            ),
            models.CheckConstraint(
                condition=Q(period_ends_at__gt=F("period_starts_at")), name="subscription_period_has_a_length"
            ),
            models.CheckConstraint(condition=Q(anchor_day__gte=1, anchor_day__lte=31), name="subscription_anchor_day"),
            models.CheckConstraint(
                condition=Q(cancels_at_end=False) | Q(next_version=None), name="subscription_has_one_future"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} of {self.organization}"

    @property
    def pays(self) -> bool:
        """Whether its last period is paid and no renewal has failed."""
        return self.past_due_since is None and self.ended_at is None


class SubscriptionPeriod(models.Model):
    """A period that was paid, with what moved for it. Never edited, but for its early end."""

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="periods")
    number = models.PositiveIntegerField()
    version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    paid_at = models.DateTimeField()
    # Null where nothing was to pay, or nothing is included.
    fee = models.OneToOneField(LedgerTransaction, null=True, on_delete=models.PROTECT, related_name="+")
    credit = models.OneToOneField(LedgerTransaction, null=True, on_delete=models.PROTECT, related_name="+")
    # A change or a cancellation ended it before its time.
    cut_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subscription", "number"], name="a_period_is_paid_once"),
            models.UniqueConstraint(fields=["subscription", "starts_at"], name="a_period_begins_once"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="period_has_a_length"),
            models.CheckConstraint(
                condition=Q(cut_at=None) | Q(cut_at__gte=F("starts_at"), cut_at__lte=F("ends_at")),
                name="period_is_cut_within",
            ),
        ]

    def __str__(self) -> str:
        return f"period {self.number} of subscription {self.subscription_id}"


class SubscriptionEvent(models.Model):
    """What happened to a subscription, for people and for notices. Append-only."""

    class Kind(models.TextChoices):
        SUBSCRIBED = "subscribed", "Subscribed"
        RENEWED = "renewed", "Renewed"
        CHANGED = "changed", "Changed"
        CHANGE_SCHEDULED = "change_scheduled", "Change scheduled"
        CANCEL_SCHEDULED = "cancel_scheduled", "Cancellation scheduled"
        KEPT = "kept", "Kept as it is"
        PAST_DUE = "past_due", "Renewal failed"
        ENDED = "ended", "Ended"

    class Cause(models.TextChoices):
        ASKED = "", "As it was asked for"
        UNPAID = "unpaid", "The renewal couldn't be paid"

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="events")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    cause = models.CharField(max_length=6, choices=Cause.choices, blank=True)
    # The version that it is about: the one that begins, or fails, or ends.
    version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="+")
    # The period that it is about.
    number = models.PositiveIntegerField()
    # When it holds; `noted_at` is when it was known.
    at = models.DateTimeField()
    noted_at = models.DateTimeField()
    # What it moved, nano-dollars: the fee, or the net of a change; negative where the organization got money back.
    nanos = models.BigIntegerField(default=0)
    # Null for the system itself.
    actor = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        indexes = [models.Index(fields=["organization", "-id"], name="plan_events_by_organization")]

    def __str__(self) -> str:
        return f"{self.kind} {self.subscription_id} at {self.at:%Y-%m-%d %H:%M:%S}"
