"""Whether a page that is looked at has something new to show."""

from django.utils import timezone

from accounts.models import Organization
from billing.models import Balance, UsageEvent


def of(organization: Organization) -> str:
    """Differs when there is a newer request, another balance, or another day."""
    newest = UsageEvent.objects.filter(organization=organization).order_by("-id").values_list("id", flat=True).first()
    version = Balance.objects.filter(organization=organization).values_list("version", flat=True).first()
    return f"{newest or 'none'}.{version or 0}.{timezone.now():%Y%m%d}"
