"""Billing details of an organization: kept here, told to Stripe, and copied onto what is made out to it."""

from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F, OuterRef, Q, Subquery

from accounts.models import Organization
from accounts.models.audit import Actor, record
from billing.models import BillingDetails, StripeCustomer
from billing.payments.calling import calling, livemode

FIELDS = ("name", "line1", "line2", "city", "postal_code", "state", "country", "tax_id")
MOST_AT_ONCE = 100


def of(organization: Organization) -> BillingDetails | None:
    return BillingDetails.objects.filter(pk=organization.pk).first()


def lines_of(organization: Organization) -> list[str]:
    """Whom something is made out to; empty where nothing was said: then it is the organization, by its name."""
    own = of(organization)
    return own.lines if own else []


def change(organization: Organization, details: dict[str, str], *, actor: Actor, now: datetime) -> None:
    """Keep these (FIELDS, each a string). Stripe is told by `send`, or by healing."""
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        own = of(organization) or BillingDetails(organization=organization, version=0)
        before = {name: getattr(own, name) for name in FIELDS}
        if own.version and before == details:
            return
        for name in FIELDS:
            setattr(own, name, details[name])
        own.version, own.changed_at = own.version + 1, now
        own.save()
        record(
            "billing_details.change",
            organization.public_id,
            actor=actor,
            organization=organization,
            before=before,
            after=details,
            now=now,
        )


def untold() -> Iterable[StripeCustomer]:
    """Customers at our account whom Stripe knows by earlier details."""
    newest = BillingDetails.objects.filter(pk=OuterRef("organization_id")).values("version")
    ours = StripeCustomer.objects.filter(account=settings.STRIPE_ACCOUNT, livemode=livemode(), stripe_id__isnull=False)
    behind = ours.annotate(newest=Subquery(newest)).filter(newest__gt=F("details_version"))
    return behind.select_related("organization").order_by("pk")[:MOST_AT_ONCE]


def send(organization: Organization) -> None:
    """Tell Stripe, if it has its customer already. Raises RefusedError and UnknownError: then healing does."""
    for customer in untold_of(organization):
        tell(customer)


def untold_of(organization: Organization) -> Iterable[StripeCustomer]:
    return [customer for customer in untold() if customer.organization_id == organization.pk]


def tell(customer: StripeCustomer) -> None:
    """Told twice is no harm: it says the same. Raises RefusedError and UnknownError."""
    own = of(customer.organization)
    if own is None or not customer.stripe_id:
        return
    with calling("customers.update") as stripe:
        stripe.customers.update(
            customer.stripe_id,
            {
                "name": own.name,
                "address": {
                    "line1": own.line1,
                    "line2": own.line2,
                    "city": own.city,
                    "postal_code": own.postal_code,
                    "state": own.state,
                    "country": own.country,
                },
                "metadata": {"tax_id": own.tax_id},
            },
        )
    behind = StripeCustomer.objects.filter(Q(details_version__lt=own.version), pk=customer.pk)
    behind.update(details_version=own.version, name=own.name)
