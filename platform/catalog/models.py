from datetime import datetime

from django.core.validators import MaxValueValidator, MinValueValidator, URLValidator
from django.db import models
from django.db.models import F, Q

from accounts.encryption import decrypt, encrypt
from accounts.models import ApiKey
from catalog.aliases import Alias, AliasMember, Choice
from catalog.parameters import MOST_IMAGES, check_ratios, check_sizes, model_id_validator

__all__ = [
    "CONVENTIONS",
    "FAMILIES",
    "Alias",
    "AliasMember",
    "Choice",
    "LifeState",
    "Model",
    "ModelQuerySet",
    "Route",
    "Upstream",
    "Visibility",
    "model_id_validator",
]

# What a model can serve: the gateway's endpoints name one of these each.
FAMILIES = {
    "chat": "Chat completions",
    "completions": "Text completions",
    "responses": "Responses",
    "embeddings": "Embeddings",
    "images": "Images",
    "videos": "Videos",
    "speech": "Speech",
    "transcriptions": "Transcriptions",
    "moderations": "Moderations",
    "rerank": "Rerank",
}


# How an upstream's counts are meant; `billing.conventions` reads them.
CONVENTIONS = {
    "openai": "OpenAI: the input's count includes what came from the cache",
    "anthropic": "Anthropic: the input's count leaves out what the cache read and wrote",
}


class Upstream(models.Model):
    """A server that runs models, OpenAI-compatible."""

    name = models.SlugField(max_length=60, unique=True)
    base_url = models.CharField(
        "base URL",
        max_length=300,
        validators=[URLValidator(schemes=["http", "https"])],
        help_text="Up to and including /v1, for example https://models.example.com/v1",
    )
    credential_encrypted = models.TextField(blank=True, editable=False)
    # Of CONVENTIONS.
    convention = models.CharField(
        "convention of its counts",
        max_length=20,
        default="openai",
        choices=list(CONVENTIONS.items()),
        help_text="Read the wrong way, cached input is charged twice or not at all.",
    )
    idle_seconds = models.PositiveSmallIntegerField(
        "seconds that it may be silent",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Then the next route is tried, or the client told. Empty: UPSTREAM_IDLE_SECONDS.",
    )
    most_at_once = models.PositiveIntegerField(
        "requests at once",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Of each gateway process; more go to the next route. Empty: any number.",
    )
    enabled = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.name

    @property
    def credential(self) -> str:
        """The bearer token that Keymeter shows to the upstream; empty where it wants none."""
        return decrypt(self.credential_encrypted) if self.credential_encrypted else ""

    @credential.setter
    def credential(self, plain: str) -> None:
        self.credential_encrypted = encrypt(plain) if plain else ""


class Visibility(models.TextChoices):
    PUBLIC = "public", "Public: shown to everybody"
    HIDDEN = "hidden", "Hidden: works, and is listed only to keys that name it"


class LifeState(models.TextChoices):
    """Of a model at a moment, the last that applies."""

    ACTIVE = "active", "Active"
    DEPRECATED = "deprecated", "Deprecated"
    SHUT_DOWN = "shut_down", "Shut down"
    DISABLED = "disabled", "Disabled"


class ModelQuerySet(models.QuerySet["Model"]):
    def on_sale(self, now: datetime) -> "ModelQuerySet":
        """Enabled, and not shut down."""
        return self.filter(Q(shut_down_at=None) | Q(shut_down_at__gt=now), enabled=True)

    def listed(self, now: datetime) -> "ModelQuerySet":
        """Those of them that everybody sees."""
        return self.on_sale(now).filter(visibility=Visibility.PUBLIC)

    def search(self, words: str) -> "ModelQuerySet":
        """Those whose id, name or owner has the words; all of them for none."""
        if not words:
            return self.all()
        named = Q(public_id__icontains=words) | Q(name__icontains=words)
        return self.filter(named | Q(owned_by__icontains=words))

    def in_state(self, state: str, now: datetime) -> "ModelQuerySet":
        """Those of a visibility, or in a state of life at this moment, as `Model.state` tells it."""
        if state in Visibility.values:
            return self.filter(visibility=state)
        over = Q(shut_down_at__isnull=False, shut_down_at__lte=now)
        aging = Q(deprecated_at__isnull=False, deprecated_at__lte=now)
        of_life = {
            LifeState.DISABLED: Q(enabled=False),
            LifeState.SHUT_DOWN: Q(enabled=True) & over,
            LifeState.DEPRECATED: Q(enabled=True) & ~over & aging,
            LifeState.ACTIVE: Q(enabled=True) & ~over & ~aging,
        }
        return self.filter(of_life[LifeState(state)])

    def shown_to(self, key: ApiKey, now: datetime) -> "ModelQuerySet":
        """Those of them that a key's people see: hidden ones where the key names them."""
        return self.on_sale(now).filter(Q(visibility=Visibility.PUBLIC) | Q(public_id__in=key.allowed_models))


class Model(models.Model):
    """What customers ask for by its public id."""

    public_id = models.CharField("model id", max_length=200, unique=True, validators=[model_id_validator])
    name = models.CharField(max_length=120)
    owned_by = models.CharField(max_length=80)
    description = models.CharField(max_length=300, blank=True)
    # Of FAMILIES.
    families = models.JSONField(default=list)
    context_window = models.PositiveIntegerField("context window, tokens", default=8192)
    max_output_tokens = models.PositiveIntegerField("most output tokens of a request", default=4096)
    aspect_ratios = models.JSONField(
        default=list,
        blank=True,
        validators=[check_ratios],
        help_text="Of its pictures, for example 1:1, 16:9. Anything else is refused. Empty: any.",
    )
    image_sizes = models.JSONField(
        default=list,
        blank=True,
        validators=[check_sizes],
        help_text="Of its pictures, for example 1K, 2K, or 1024x1024. Anything else is refused. Empty: any;"
        " one that has no price then costs what the model's plain price says.",
    )
    most_images = models.PositiveSmallIntegerField(
        "most images of a request",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_IMAGES)],
        help_text=f"Of each answer, where it draws in chats: as many are set aside. Empty: {MOST_IMAGES}.",
    )
    hides_reasoning = models.BooleanField(
        "hides its reasoning",
        default=False,
        help_text="It charges for reasoning that it doesn't stream. Streams then hold their worst case from the start.",
    )
    enabled = models.BooleanField(default=True)
    visibility = models.CharField(max_length=8, choices=Visibility.choices, default=Visibility.PUBLIC)
    deprecated_at = models.DateTimeField(
        "deprecated from", null=True, blank=True, help_text="From then on it is shown as deprecated. It still works."
    )
    shut_down_at = models.DateTimeField(
        "shut down from",
        null=True,
        blank=True,
        help_text="From that moment on it isn't sold. Nothing has to be done then.",
    )
    successor = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="predecessors",
        help_text="What to use instead.",
    )
    created_at = models.DateTimeField()

    objects = ModelQuerySet.as_manager()

    class Meta:
        ordering = ["public_id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(most_images=None) | Q(most_images__gte=1, most_images__lte=MOST_IMAGES),
                name="model_most_images_plausible",
            ),
            models.CheckConstraint(condition=Q(visibility__in=Visibility.values), name="model_visibility_known"),
            models.CheckConstraint(
                condition=Q(deprecated_at=None) | Q(shut_down_at=None) | Q(shut_down_at__gte=F("deprecated_at")),
                name="model_deprecated_before_shut_down",
                violation_error_message="A model is deprecated before it is shut down.",
            ),
            models.CheckConstraint(
                condition=Q(successor=None) | ~Q(successor=F("id")),
                name="model_succeeded_by_another",
                violation_error_message="A model can't be its own successor.",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    def state(self, now: datetime) -> LifeState:
        """Where it is in its life at this moment."""
        if not self.enabled:
            return LifeState.DISABLED
        if self.shut_down_at is not None and self.shut_down_at <= now:
            return LifeState.SHUT_DOWN
        if self.deprecated_at is not None and self.deprecated_at <= now:
            return LifeState.DEPRECATED
        return LifeState.ACTIVE


class Route(models.Model):
    """Public model → upstream and the name that it has there.

    The lowest priority number is tried first; those that have the same share the requests by weight.
    """

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="routes")
    upstream = models.ForeignKey(Upstream, on_delete=models.PROTECT, related_name="routes")
    upstream_model = models.CharField("model's name there", max_length=200)
    priority = models.PositiveSmallIntegerField(default=10, help_text="The lowest is tried first.")
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="Its share of the requests among routes of the same priority.",
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["priority", "id"]
        constraints = [
            models.UniqueConstraint(fields=["model", "upstream", "upstream_model"], name="route_only_once"),
            models.CheckConstraint(condition=Q(weight__gte=1, weight__lte=1000), name="route_weight_plausible"),
        ]

    def __str__(self) -> str:
        return f"{self.model} → {self.upstream}"
