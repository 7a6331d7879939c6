"""Money that comes in through Stripe: who we are there, what was asked for, what it told us."""

from django.db import models
from django.db.models import F, Q

from accounts.identifiers import public_id
from accounts.models import Organization
from billing.models.card import SavedCard
from billing.models.ledger import LedgerTransaction


def customer_reference() -> str:
    return public_id("cust")


def top_up_id() -> str:
    return public_id("top")


class StripeCustomer(models.Model):
    """An organization as an account of ours at Stripe knows it, live or in test mode. Written before it is asked."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="+", db_index=False)
    # The setting STRIPE_ACCOUNT at that time.
    account = models.CharField(max_length=40, blank=True)
    livemode = models.BooleanField()
    # What the idempotency key is made of, and Stripe's metadata has.
    reference = models.CharField(max_length=40, unique=True, default=customer_reference)
    # As Stripe was told.
    name = models.CharField(max_length=200)
    stripe_id = models.CharField(max_length=255, null=True, unique=True)
    created_at = models.DateTimeField()
    # The version of the organization's billing details that Stripe knows.
    details_version = models.PositiveIntegerField(default=0)
    # When asking for the cards that `billing_savedcard` has began, and when they are to be asked for again.
    cards_asked_at = models.DateTimeField(null=True)
    cards_look_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "account", "livemode"], name="one_customer_per_organization_and_account"
            )
        ]

    def __str__(self) -> str:
        return self.stripe_id or self.reference


class TopUpQuerySet(models.QuerySet["TopUp"]):
    def unsettled(self) -> "TopUpQuerySet":
        """Of which Stripe has more to tell."""
        return self.filter(state__in=UNSETTLED)


class TopUp(models.Model):
    """Somebody wants to pay so much into a balance. Written before Stripe is asked; paid once, by one PaymentIntent."""

    class State(models.TextChoices):
        OPEN = "open", "Not paid yet"
        PROCESSING = "processing", "The bank is working on it"
        PAID = "paid", "Paid"
        EXPIRED = "expired", "Expired"
        FAILED = "failed", "Failed"

    class Way(models.TextChoices):
        CHECKOUT = "checkout", "On Stripe's page"
        CARD = "card", "With a saved card"
        RECHARGE = "recharge", "By auto-recharge"
        PLAN = "plan", "For the plan"

    public_id = models.CharField(max_length=40, unique=True, default=top_up_id)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="top_ups", db_index=False)
    way = models.CharField(max_length=8, choices=Way.choices, default=Way.CHECKOUT)
    # What pays, unless it is paid on Stripe's page.
    card = models.ForeignKey(SavedCard, null=True, on_delete=models.PROTECT, related_name="+")
    # The plan's period whose fee it pays, and when the card is asked again.
    subscription = models.ForeignKey("billing.Subscription", null=True, on_delete=models.PROTECT, related_name="+")
    period = models.PositiveIntegerField(null=True)
    retry_at = models.DateTimeField(null=True)
    # Of the form that asked for it: sent twice, it pays once.
    asked = models.UUIDField(null=True)
    actor = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    # What is to be paid, in the currency's smallest unit; and what it is worth, in nano-dollars.
    amount = models.BigIntegerField()
    nanos = models.BigIntegerField()
    # Of the amount, in the smallest unit: nothing is taxed yet.
    tax = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)
    account = models.CharField(max_length=40, blank=True)
    livemode = models.BooleanField()
    saves_card = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    # Until then it can be paid.
    closes_at = models.DateTimeField()
    customer = models.CharField(max_length=255, blank=True)
    checkout_session = models.CharField(max_length=255, null=True, unique=True)
    payment_intent = models.CharField(max_length=255, null=True, unique=True)
    # Where it is paid, while it can be.
    pay_url = models.TextField(blank=True)
    # When Stripe last told, and when it is to be asked again.
    looked_at = models.DateTimeField(null=True)
    look_at = models.DateTimeField()
    # How often the card was asked, and Stripe's code for its last no.
    attempts = models.PositiveSmallIntegerField(default=0)
    decline = models.CharField(max_length=60, blank=True)
    # Why it failed, for its customer; and what doesn't fit, for staff.
    why = models.CharField(max_length=300, blank=True)
    trouble = models.CharField(max_length=500, blank=True)
    paid_at = models.DateTimeField(null=True)
    # Whom the receipt is made out to, line by line, as it was when it was paid.
    billed_to: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list)
    transaction = models.OneToOneField(LedgerTransaction, null=True, on_delete=models.PROTECT, related_name="top_up")

    objects = TopUpQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-id"], name="top_ups_by_organization"),
            models.Index(fields=["look_at"], condition=Q(state__in=["open", "processing"]), name="top_ups_to_look_at"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["subscription", "period"], name="a_plans_period_is_asked_for_once"),
            models.CheckConstraint(
                condition=Q(way="plan", subscription__isnull=False, period__isnull=False)
                | (~Q(way="plan") & Q(subscription=None, period=None)),
                name="plan_fee_names_its_period",
            ),
            models.UniqueConstraint(fields=["organization", "asked"], name="a_form_pays_once"),
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(way="recharge", state__in=["open", "processing"]),
                name="one_recharge_at_a_time",
            ),
            models.CheckConstraint(condition=Q(way="checkout") | Q(card__isnull=False), name="a_card_or_stripes_page"),
            models.CheckConstraint(condition=Q(amount__gt=0, nanos__gt=0), name="top_up_pays_something"),
            models.CheckConstraint(condition=Q(tax=0), name="top_ups_have_no_tax_yet"),
            models.CheckConstraint(condition=Q(closes_at__gt=F("created_at")), name="top_up_can_be_paid"),
            models.CheckConstraint(
                condition=Q(
                    state="paid", payment_intent__isnull=False, transaction__isnull=False, paid_at__isnull=False
                )
                | (~Q(state="paid") & Q(transaction=None, paid_at=None)),
                name="paid_top_up_is_in_the_ledger",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} ({self.state})"

    @property
    def settled(self) -> bool:
        return self.state not in UNSETTLED

    @property
    def awaits_customer(self) -> bool:
        """The bank wants its customer to confirm the payment."""
        return self.state == self.State.OPEN and self.decline == AUTHENTICATION


AUTHENTICATION = "authentication_required"
"""Stripe's code where the bank wants its customer to confirm."""

UNSETTLED = (TopUp.State.OPEN, TopUp.State.PROCESSING)


class WebhookEvent(models.Model):
    """An event that Stripe told us of, signed. What it was about was asked for again: none of its content is kept."""

    event_id = models.CharField(max_length=255, unique=True)
    kind = models.CharField(max_length=120)
    about = models.CharField(max_length=255)
    livemode = models.BooleanField()
    account = models.CharField(max_length=255, blank=True)
    received_at = models.DateTimeField(db_index=True)
    handled_at = models.DateTimeField(null=True)
    # What became of it, in a word or two.
    outcome = models.CharField(max_length=40, blank=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id}"
