from django.core.validators import RegexValidator, URLValidator
from django.db import models

from accounts.encryption import decrypt, encrypt

# Ids contain "/" and ":", never white space.
model_id_validator = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}$", "A model id has letters, digits and . _ : / @ + - only."
)

# What a model can serve: the gateway's endpoints name one of these each.
FAMILIES = {"chat": "Chat completions", "completions": "Text completions", "embeddings": "Embeddings"}


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
    hides_reasoning = models.BooleanField(
        "hides its reasoning",
        default=False,
        help_text="It charges for reasoning that it doesn't stream. Streams then hold their worst case from the start.",
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["public_id"]

    def __str__(self) -> str:
        return self.public_id


class Route(models.Model):
    """Public model → upstream and the name that it has there. The lowest priority number is tried first."""

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="routes")
    upstream = models.ForeignKey(Upstream, on_delete=models.PROTECT, related_name="routes")
    upstream_model = models.CharField("model's name there", max_length=200)
    priority = models.PositiveSmallIntegerField(default=10)
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["priority", "id"]
        constraints = [
            models.UniqueConstraint(fields=["model", "upstream", "upstream_model"], name="route_only_once"),
        ]

    def __str__(self) -> str:
        return f"{self.model} → {self.upstream}"
