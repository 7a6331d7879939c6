"""What the gateway serves. An endpoint is a row here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from accounts.scopes import MANAGEMENT_SCOPES
from gateway import counting
from gateway.counting import Counted
from gateway.members import Members

# What keys can be scoped to here: one per endpoint family. A new key has these unless somebody says otherwise.
SCOPES = {
    "chat": "Chat and text completions",
    "embeddings": "Embeddings",
    "images": "Images",
    "audio": "Audio",
    "moderations": "Moderations",
    "rerank": "Rerank",
    "models": "List models",
}
ALL_SCOPES = {**SCOPES, **MANAGEMENT_SCOPES}


@dataclass(frozen=True)
class Endpoint:
    """`name` is what the usage log calls it, `family` what a model must serve.

    `writes`: text, which streams and has a limit; pictures, which may be counted in tokens; or nothing that is counted.
    `counted` says what its parameters count, `heard` that its file is audio, whose seconds count. `form` is a body with
    files, of the field that has to be there. `answers` with a JSON object that has one of these members, or with a
    stream of bytes (no members).
    """

    name: str
    path: str
    scope: str
    family: str
    writes: Literal["text", "pictures", ""] = ""
    counted: Callable[[Members], Counted] = counting.nothing
    answers: frozenset[str] = frozenset({"data"})
    form: str = ""
    heard: bool = False

    @property
    def has_output(self) -> bool:
        return self.writes == "text"


CHOICES, RESULTS, TEXT = (frozenset({member}) for member in ("choices", "results", "text"))
BYTES: frozenset[str] = frozenset()

CHAT = Endpoint("chat.completions", "/chat/completions", "chat", "chat", "text", answers=CHOICES)
COMPLETIONS = Endpoint("completions", "/completions", "chat", "completions", "text", answers=CHOICES)
EMBEDDINGS = Endpoint("embeddings", "/embeddings", "embeddings", "embeddings")
# Forwarded to an upstream, by path below the base.
FORWARDED = {
    endpoint.path: endpoint
    for endpoint in (
        CHAT,
        COMPLETIONS,
        EMBEDDINGS,
        Endpoint("images.generations", "/images/generations", "images", "images", "pictures", counting.images),
        Endpoint("images.edits", "/images/edits", "images", "images", "pictures", counting.images, form="image"),
        Endpoint(
            "images.variations", "/images/variations", "images", "images", "pictures", counting.images, form="image"
        ),
        Endpoint(
            "audio.transcriptions",
            "/audio/transcriptions",
            "audio",
            "transcriptions",
            answers=TEXT,
            form="file",
            heard=True,
        ),
        Endpoint("audio.speech", "/audio/speech", "audio", "speech", counted=counting.characters, answers=BYTES),
        Endpoint(
            "moderations", "/moderations", "moderations", "moderations", counted=counting.one_request, answers=RESULTS
        ),
        Endpoint("rerank", "/rerank", "rerank", "rerank", counted=counting.search_units, answers=RESULTS),
    )
}
BY_NAME = {endpoint.name: endpoint for endpoint in FORWARDED.values()}
MODELS_PATH = "/models"
MODELS_SCOPE = "models"
