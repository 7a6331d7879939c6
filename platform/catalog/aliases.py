"""Aliases: public ids that stand for several models, of which each request gets one."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from catalog.parameters import model_id_validator


class Choice(models.TextChoices):
    """Which of its models an alias tries first; the others follow."""

    ORDER = "order", "In their order"
    PRICE = "price", "The cheapest for the organization"
    LATENCY = "latency", "The quickest lately"


class Alias(models.Model):
    """What customers ask for by its public id, beside models. A model of the same id would go before it."""

    public_id = models.CharField("alias", max_length=200, unique=True, validators=[model_id_validator])
    name = models.CharField(max_length=120)
    choice = models.CharField(
        "chooses",
        max_length=8,
        choices=Choice.choices,
        default=Choice.ORDER,
        help_text="What doesn't serve a request, or isn't sold to its organization, is passed by. Where one's routes"
        " all fail before the first byte, the next is tried.",
    )
    enabled = models.BooleanField(default=True)
    hidden = models.BooleanField(default=False, help_text="It works, and is listed only to keys that name it.")
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "aliases"
        ordering = ["public_id"]
        constraints = [
            models.CheckConstraint(condition=Q(choice__in=Choice.values), name="alias_choice_known"),
        ]

    def __str__(self) -> str:
        return self.public_id

    def stands_for(self) -> list[str]:
        """The ids of its models, in their order."""
        return list(self.members.values_list("model__public_id", flat=True))


class AliasMember(models.Model):
    """One of an alias's models. The lowest position comes first."""

    alias = models.ForeignKey(Alias, on_delete=models.CASCADE, related_name="members")
    model = models.ForeignKey("catalog.Model", on_delete=models.PROTECT, related_name="aliases")
    position = models.PositiveSmallIntegerField(default=10, help_text="The lowest comes first.")

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["alias", "model"], name="alias_has_a_model_once")]

    def __str__(self) -> str:
        return f"{self.alias} → {self.model}"


def check_free(public_id: str, others: "type[models.Model]") -> None:
    """Raises ValidationError where one of the others has that id: nobody could say which is meant."""
    if others._default_manager.filter(public_id=public_id).exists():
        name = others._meta.verbose_name
        raise ValidationError(f"There is {'an' if name == 'alias' else 'a'} {name} of that id.")
