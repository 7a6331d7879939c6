"""What the API reference says: the dialect, the endpoints and the catalogue of this installation, and nothing else."""

from dataclasses import dataclass
from functools import cached_property

from django.conf import settings

from config.dialect import Dialect
from gateway import errors
from gateway.asking.description import Operation, operations
from gateway.deciding import rate_headers
from gateway.http.incoming import LARGEST_HEAD
from gateway.http.spoken import Spoken, in_dialect
from website import snippets, wording
from website.catalogue import Catalogue, Listed
from website.snippets import Snippets

# Of the models that serve an endpoint; the others are on the page of models.
SHOWN = 8
# What only other gateways are told (docs/faces.md).
OF_GATEWAYS = {"no_gateway", "gateway_not_known", "header_alias", "request_id_used"}
CREDENTIALS = {"authorization": "Authorization: Bearer", "api-key": "api-key:"}
# Minutes, for who reads the page.
RESETS = {
    "duration": ("a duration", rate_headers.go_duration(90_500)),
    "seconds": ("whole seconds", rate_headers.seconds(90_500)),
    "timestamp": ("a moment in UTC", "2026-03-20T12:30:00Z"),
}
HEADERS = {
    "limit": "How many there are at most.",
    "remaining": "How many are left.",
    "reset": "When all of them are back.",
}


@dataclass(frozen=True)
class Told:
    """One endpoint, with the models that serve it."""

    operation: Operation
    models: list[Listed]
    example_model: str

    @property
    def in_preview(self) -> bool:
        return in_preview(self.operation)

    @property
    def shown(self) -> list[Listed]:
        return self.models[:SHOWN]

    @cached_property
    def examples(self) -> list[tuple[str, str, Snippets]]:
        """Anchor, title and programs of each."""
        return [
            (
                f"{self.operation.anchor}-{place}",
                example.title,
                snippets.snippets(self.operation, example, self.example_model),
            )
            for place, example in enumerate(self.operation.described.examples, 1)
        ]


@dataclass(frozen=True)
class Reference:
    catalogue: Catalogue

    @cached_property
    def endpoints(self) -> list[Told]:
        return [self._told(operation) for operation in operations(settings.DIALECT)]

    def _told(self, operation: Operation) -> Told:
        if not operation.family:
            return Told(operation, [], self.catalogue.example)
        models = [one for one in self.catalogue.models if operation.family in one.model.families]
        return Told(operation, models, models[0].model.public_id if models else "your-model")

    @property
    def bases(self) -> list[str]:
        return base_urls(settings.API_URL, settings.DIALECT)

    @property
    def credentials(self) -> list[str]:
        return [f"{CREDENTIALS[name]} {snippets.KEY}" for name in settings.DIALECT.credential_headers]

    @property
    def errors(self) -> list[tuple[Spoken, str]]:
        return told_errors(settings.DIALECT)

    @property
    def error_body(self) -> str:
        said = in_dialect(errors.MISSING_KEY, settings.DIALECT)
        return snippets.as_json({"error": {**said.told, "message": "The message says what is wrong."}})

    @property
    def rate_headers(self) -> list[tuple[str, str]]:
        named = settings.DIALECT.rate_headers.named
        kinds = ("requests", "tokens")
        return [(named(what, kind), means) for what, means in HEADERS.items() for kind in kinds]

    @property
    def reset(self) -> tuple[str, str]:
        return RESETS[settings.DIALECT.rate_headers.reset]

    @property
    def key_prefix(self) -> str:
        return f"{settings.KEY_PREFIX}-"

    @property
    def https_only(self) -> bool:
        return bool(settings.REFUSE_PLAIN_HTTP)

    @property
    def upstream_names(self) -> bool:
        return settings.DIALECT.answered_model == "upstream"

    @property
    def largest_body(self) -> int:
        return settings.GATEWAY_MAX_BODY_BYTES

    @property
    def largest_head(self) -> int:
        return LARGEST_HEAD


def in_preview(operation: Operation) -> bool:
    """Whether it is there for organizations alone for which it was opened."""
    return operation.endpoint in settings.PREVIEW_ENDPOINTS


def base_urls(url: str, dialect: Dialect) -> list[str]:
    """The one that is told first, then the others below which the same is answered."""
    mine = max((base for base in dialect.base_paths if url.endswith(base)), key=len, default=None)
    if mine is None:
        return [url]
    root = url.removesuffix(mine)
    return [url, *(root + base for base in dialect.base_paths if base != mine)]


def told_errors(dialect: Dialect) -> list[tuple[Spoken, str]]:
    """As the dialect says them, each with what it means and what to do, by status."""
    words = {(status, code): means for status, code, means in wording.ERRORS}
    found: dict[tuple[int, str, str | None, str], Spoken] = {}
    for case, error in errors.every().items():
        if case in OF_GATEWAYS or (case == "https_required" and not settings.REFUSE_PLAIN_HTTP):
            continue
        said = in_dialect(error, dialect)
        found.setdefault((said.status, said.type, said.code, words.get((error.status, error.code or ""), "")), said)
    return [(said, means) for (*_, means), said in sorted(found.items(), key=lambda one: (one[0][0], one[0][2] or ""))]
