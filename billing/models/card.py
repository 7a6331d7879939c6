"""Cards that Stripe keeps for our customers. Of a card is known here what is printed on a receipt."""

from django.db import models
from django.db.models import Q

from accounts.identifiers import public_id
from accounts.models import Organization


def card_id() -> str:
    return public_id("card")


class SavedCard(models.Model):
    """A card as Stripe showed it when it was last asked. Its row outlives its removal: payments name it."""

    public_id = models.CharField(max_length=40, unique=True, default=card_id)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="cards")
    # Stripe's ids of who it is kept for, and of the payment method.
    customer = models.CharField(max_length=255)
    payment_method = models.CharField(max_length=255, unique=True)
    brand = models.CharField(max_length=40)
    last4 = models.CharField(max_length=4)
    exp_month = models.PositiveSmallIntegerField()
    exp_year = models.PositiveSmallIntegerField()
    # Which one pays where nobody chooses.
    is_default = models.BooleanField(default=False)
    added_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer"], condition=Q(is_default=True), name="one_default_card"),
            models.CheckConstraint(
                condition=Q(removed_at=None) | Q(is_default=False), name="removed_card_is_not_the_default"
            ),
        ]

    def __str__(self) -> str:
        return f"{BRANDS.get(self.brand, self.brand.title())} •••• {self.last4}"

    @property
    def expiry(self) -> str:
        return f"{self.exp_month:02d}/{self.exp_year}"


BRANDS = {"amex": "American Express", "mastercard": "Mastercard", "jcb": "JCB", "unionpay": "UnionPay"}
