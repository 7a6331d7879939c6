"""What the gateway serves. An endpoint is a row here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from accounts.scopes import MANAGEMENT_SCOPES
from gateway.asking import counting, keeping
from gateway.asking.counting import Counted
from gateway.asking.members import Members

# What keys can be scoped to here: one per endpoint family. A new key has these unless somebody says otherwise.
SCOPES = {
    "chat": "Chat and text completions",
    "responses": "Responses",
    "embeddings": "Embeddings",
    "images": "Images",
    "videos": "Videos",
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
    stream of bytes (no members). `limits` are the members that bound the output; the last is set where none is there.
    `keeps` says whether the upstream keeps what was made, so that it can be asked for by its id,
    `goes_on` that it may be answered before it has ended. `may_be_form`: a form or JSON, as the client likes.
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
    limits: tuple[str, ...] = ("max_tokens",)
    keeps: Callable[[Members], bool] = keeping.never
    goes_on: bool = False
    may_be_form: bool = False

    @property
    def has_output(self) -> bool:
        return self.writes == "text"

    @property
    def is_counted_in_tokens(self) -> bool:
        """Whether nothing else decides on what it costs."""
        return self.counted is counting.nothing and not self.heard


@dataclass(frozen=True)
class StoredEndpoint:
    """What is done with something that an upstream keeps: `path` has its `{id}`, and `of` is the endpoint that made it.

    `takes_body`: a JSON object goes with it. `is_bytes`: what is answered is no JSON.
    """

    method: str
    path: str
    of: Endpoint
    takes_body: bool = False
    is_bytes: bool = False

    def at(self, stored_id: str) -> str:
        """The path to that one."""
        return self.path.replace("{id}", stored_id)


CHOICES, OUTPUT, RESULTS, STATUS, TEXT = (
    frozenset({member}) for member in ("choices", "output", "results", "status", "text")
)
BYTES: frozenset[str] = frozenset()

CHAT = Endpoint(
    "chat.completions",
    "/chat/completions",
    "chat",
    "chat",
    "text",
    answers=CHOICES,
    limits=("max_completion_tokens", "max_tokens"),
    keeps=keeping.where_asked,
)
COMPLETIONS = Endpoint("completions", "/completions", "chat", "completions", "text", answers=CHOICES)
RESPONSES = Endpoint(
    "responses",
    "/responses",
    "responses",
    "responses",
    "text",
    answers=OUTPUT,
    limits=("max_output_tokens",),
    keeps=keeping.unless_declined,
    goes_on=True,
)
VIDEOS = Endpoint(
    "videos",
    "/videos",
    "videos",
    "videos",
    counted=counting.video_seconds,
    answers=STATUS,
    keeps=keeping.always,
    goes_on=True,
    may_be_form=True,
)
EMBEDDINGS = Endpoint("embeddings", "/embeddings", "embeddings", "embeddings")
# Forwarded to an upstream, by path below the base.
FORWARDED = {
    endpoint.path: endpoint
    for endpoint in (
        CHAT,
        COMPLETIONS,
        RESPONSES,
        EMBEDDINGS,
        Endpoint("images.generations", "/images/generations", "images", "images", "pictures", counting.images),
        Endpoint("images.edits", "/images/edits", "images", "images", "pictures", counting.images, form="image"),
        Endpoint(
            "images.variations", "/images/variations", "images", "images", "pictures", counting.images, form="image"
        ),
        VIDEOS,
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
# Of what is stored. Lists of all that there is aren't served: an upstream knows no organizations.
STORED = (
    StoredEndpoint("GET", "/chat/completions/{id}", CHAT),
    StoredEndpoint("POST", "/chat/completions/{id}", CHAT, takes_body=True),
    StoredEndpoint("DELETE", "/chat/completions/{id}", CHAT),
    StoredEndpoint("GET", "/chat/completions/{id}/messages", CHAT),
    StoredEndpoint("GET", "/responses/{id}", RESPONSES),
    StoredEndpoint("DELETE", "/responses/{id}", RESPONSES),
    StoredEndpoint("POST", "/responses/{id}/cancel", RESPONSES),
    StoredEndpoint("GET", "/responses/{id}/input_items", RESPONSES),
    StoredEndpoint("GET", "/videos/{id}", VIDEOS),
    StoredEndpoint("DELETE", "/videos/{id}", VIDEOS),
    StoredEndpoint("GET", "/videos/{id}/content", VIDEOS, is_bytes=True),
)
MODELS_PATH = "/models"
MODELS_SCOPE = "models"


class Place(NamedTuple):
    """What a path is for, by method; `stored_id` where it names something stored."""

    by_method: dict[str, Endpoint | StoredEndpoint]
    stored_id: str = ""


def place_of(path: str) -> Place | None:
    """What is at a path below the base; None where it is none of these endpoints'."""
    if endpoint := FORWARDED.get(path):
        return Place({"POST": endpoint})
    for (before, after), by_method in _PATTERNS.items():
        if path.startswith(before) and path.endswith(after) and len(path) > len(before) + len(after):
            return Place(by_method, path[len(before) : len(path) - len(after)])
    return None


# What comes before and after the id. The longest end comes first, so that `/ID/messages` isn't taken for an id.
_PATTERNS: dict[tuple[str, str], dict[str, Endpoint | StoredEndpoint]] = {}
for _row in sorted(STORED, key=lambda row: -len(row.path.partition("{id}")[2])):
    _before, _, _after = _row.path.partition("{id}")
    _PATTERNS.setdefault((_before, _after), {})[_row.method] = _row
