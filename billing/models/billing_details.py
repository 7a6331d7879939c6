"""Whom receipts and statements are made out to."""

from django.db import models

from accounts.models import Organization


class BillingDetails(models.Model):
    """As an owner or admin typed them. Receipts and statements keep what was true when they were made."""

    organization = models.OneToOneField(Organization, primary_key=True, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    line1 = models.CharField(max_length=200, blank=True)
    line2 = models.CharField(max_length=200, blank=True)
    city = models.CharField(max_length=100, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    state = models.CharField(max_length=100, blank=True)
    # Two letters, ISO 3166-1.
    country = models.CharField(max_length=2, blank=True)
    tax_id = models.CharField(max_length=40, blank=True)
    # Grows with each change; a customer at Stripe knows up to which one it was told.
    version = models.PositiveIntegerField(default=1)
    changed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}, {self.country}"

    @property
    def lines(self) -> list[str]:
        """As on an envelope, with the tax id."""
        place = " ".join(part for part in (self.postal_code, self.city) if part)
        tax = f"Tax ID {self.tax_id}" if self.tax_id else ""
        rows = (self.name, self.line1, self.line2, place, self.state, self.country, tax)
        return [row for row in rows if row]
