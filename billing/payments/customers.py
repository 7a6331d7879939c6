"""The organization as Stripe knows it. It learns a name and our reference, and no person's."""

from datetime import datetime, timedelta

from django.conf import settings

from accounts.models import Organization
from billing.models import StripeCustomer
from billing.models.payment import customer_reference
from billing.payments.calling import UnknownError, calling, livemode
from billing.payments.seen import told

# How far Stripe's clock may be behind ours.
SKEW = timedelta(hours=1)
MOST_LOOKED_THROUGH = 500


def customer_of(organization: Organization, *, now: datetime) -> str:
    """Stripe's id of it, made where there is none yet. Raises RefusedError and UnknownError."""
    row, _ = StripeCustomer.objects.get_or_create(
        organization=organization,
        account=settings.STRIPE_ACCOUNT,
        livemode=livemode(),
        defaults={"name": organization.name[:200], "created_at": now},
    )
    if row.stripe_id:
        return row.stripe_id
    try:
        made = _create(row, organization)
    except UnknownError as error:
        found = _look_up(row)
        if found is None:
            if error.ended:
                # That key would be answered with the same failure for a day. Whatever is made, nobody pays with it.
                _start_over(row)
            raise
        made = found
    StripeCustomer.objects.filter(pk=row.pk, reference=row.reference).update(stripe_id=made)
    return made


def forget(organization: Organization) -> None:
    """Stripe doesn't know this customer any more: the next top-up makes another."""
    rows = StripeCustomer.objects.filter(
        organization=organization, account=settings.STRIPE_ACCOUNT, livemode=livemode()
    )
    rows.update(stripe_id=None, reference=customer_reference())


def _create(row: StripeCustomer, organization: Organization) -> str:
    with calling("customers.create") as stripe:
        return stripe.customers.create(
            {
                "name": row.name,
                "metadata": {"keymeter_customer": row.reference, "organization": organization.public_id},
            },
            {"idempotency_key": f"keymeter:{row.reference}"},
        ).id


def _look_up(row: StripeCustomer) -> str | None:
    since = int((row.created_at - SKEW).timestamp())
    with calling("customers.list") as stripe:
        listed = stripe.customers.list({"created": {"gte": since}, "limit": 100})
        for looked_through, customer in enumerate(listed.auto_paging_iter()):
            if told(customer.metadata, "keymeter_customer") == row.reference:
                return customer.id
            if looked_through >= MOST_LOOKED_THROUGH:
                break
    return None


def _start_over(row: StripeCustomer) -> None:
    unmade = StripeCustomer.objects.filter(pk=row.pk, reference=row.reference, stripe_id=None)
    unmade.update(reference=customer_reference())
