"""The organization as Stripe knows it. It learns a name and our reference, and no person's."""

from datetime import datetime

from django.conf import settings

from accounts.models import Organization
from billing.models import StripeCustomer
from billing.models.payment import customer_reference
from billing.payments import searching
from billing.payments.calling import UnknownError, calling, livemode
from billing.payments.seen import told


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
    with calling("customers.list") as stripe:
        listed = stripe.customers.list({"created": {"gte": searching.since(row.created_at)}, "limit": 100})
        found = searching.first(listed, lambda made: told(made.metadata, "keymeter_customer") == row.reference)
    return found.id if found else None


def _start_over(row: StripeCustomer) -> None:
    unmade = StripeCustomer.objects.filter(pk=row.pk, reference=row.reference, stripe_id=None)
    unmade.update(reference=customer_reference())
