"""What the gateway serves. An endpoint is a row here."""

from dataclasses import dataclass

from accounts.scopes import MANAGEMENT_SCOPES

# What keys can be scoped to here: one per endpoint family. A new key has these unless somebody says otherwise.
SCOPES = {
    "chat": "Chat and text completions",
    "embeddings": "Embeddings",
    "models": "List models",
}
ALL_SCOPES = {**SCOPES, **MANAGEMENT_SCOPES}


@dataclass(frozen=True)
class Endpoint:
    """`name` is what the usage log calls it, `family` what a model must serve, `has_output` whether it writes text."""

    name: str
    path: str
    scope: str
    family: str
    has_output: bool = True


CHAT = Endpoint("chat.completions", "/chat/completions", "chat", "chat")
COMPLETIONS = Endpoint("completions", "/completions", "chat", "completions")
EMBEDDINGS = Endpoint("embeddings", "/embeddings", "embeddings", "embeddings", has_output=False)

# Forwarded to an upstream, by path below /v1.
FORWARDED = {endpoint.path: endpoint for endpoint in (CHAT, COMPLETIONS, EMBEDDINGS)}
BY_NAME = {endpoint.name: endpoint for endpoint in FORWARDED.values()}
MODELS_PATH = "/models"
MODELS_SCOPE = "models"
