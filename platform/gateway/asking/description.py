"""What is told of each endpoint: parameters, examples, what is charged. A file each in `descriptions/`, of its name.

The API reference, the OpenAPI file and docs/endpoints.md say what is here; tests run the examples and try the limits.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from config.dialect import Dialect
from gateway.asking.endpoints import FORWARDED, MODELS_PATH, MODELS_SCOPE, STORED, StoredEndpoint
from gateway.offering.model_list import INFO_PATH
from gateway.offering.own_key import KEY_PATH

FOLDER = Path(__file__).resolve().parent.parent / "descriptions"
TYPES = {"string", "integer", "number", "boolean", "array", "object", "file"}

# A range that ends there or beyond has no end that anybody would meet.
NO_LIMIT = 10**9
VERBS = {"GET": "retrieve", "POST": "update", "DELETE": "delete"}

Text = Annotated[str, Meta(min_length=1)]
Number = int | float


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`type` is of TYPES, or several with `or` between them. `checked`: what is out of range gets a 400 of ours; the
    rest is the model's to judge. `place` is where it stands."""

    name: Text
    type: Text
    means: Text
    required: bool = False
    checked: bool = False
    items: str = ""
    least: Number | None = None
    most: Number | None = None
    choices: tuple[str, ...] = ()
    default: str = ""
    place: Literal["body", "path", "query"] = "body"

    def __post_init__(self) -> None:
        if unknown := set(self.types) - TYPES:
            raise ValueError(f"{self.name} has a type that there isn't: {', '.join(sorted(unknown))}")

    @property
    def types(self) -> list[str]:
        return self.type.split(" or ")

    @property
    def range(self) -> str:
        """In words: `1 to 128`, `at least 1`, `One of json, text`; empty for what has none."""
        if self.choices:
            return f"One of {', '.join(self.choices)}"
        if self.least is not None and self.most is not None and self.most < NO_LIMIT:
            return f"{self.least:,} to {self.most:,}"
        return f"at least {self.least:,}" if self.least is not None else ""


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request as JSON or as a form's fields, the same in two languages, and its answer.

    `{model}` stands for a model's id, `{id}` for that of what another endpoint's example made, which `after` names:
    `chat.completions/4` is its fourth. The programs print what `prints` leads to in the answer, or write `writes`.
    """

    title: Text
    python: Text
    javascript: Text
    answer: str = ""
    request: str = ""
    form: tuple[tuple[str, str], ...] = ()
    prints: str = ""
    writes: str = ""
    after: str = ""

    @property
    def is_stream(self) -> bool:
        return self.answer.lstrip().startswith(("data:", "event:"))


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`counted` and `held` say what is charged, and what is set aside before. `may_lack`: members of an answer that
    not every model's server sends."""

    title: Text
    means: Text
    counted: Text
    held: Text
    examples: Annotated[tuple[Example, ...], Meta(min_length=1)]
    parameters: tuple[Parameter, ...] = ()
    may_lack: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One method of one path below the base. `endpoint` is the row that it is of, `family` what a model must serve;
    empty: no model is asked."""

    name: str
    endpoint: str
    method: str
    path: str
    scope: str
    family: str
    is_form: bool
    described: Description

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z]+", "-", self.name)


def operations(dialect: Dialect) -> Iterator[Operation]:
    """Everything that a customer's program can ask for in that dialect, in the order in which it is told."""
    for one in FORWARDED.values():
        yield Operation(
            one.name, one.name, "POST", one.path, one.scope, one.family, bool(one.form), described(one.name)
        )
        for row in STORED:
            if row.of is one:
                name = name_of(row)
                yield Operation(name, one.name, row.method, row.path, one.scope, "", False, described(name))
    ours = [
        ("models", MODELS_PATH, MODELS_SCOPE),
        ("models.retrieve", MODELS_PATH + "/{model}", MODELS_SCOPE),
        ("model.info", INFO_PATH, MODELS_SCOPE),
        ("key", KEY_PATH, ""),
    ]
    for name, path, scope in ours:
        if path != INFO_PATH or "model_info" in dialect.extra_endpoints:
            yield Operation(name, name, "GET", path, scope, "", False, described(name))


def name_of(row: StoredEndpoint) -> str:
    """As the SDKs call it: `chat.completions.retrieve`, or by what the path ends with."""
    _, _, rest = row.path.partition("{id}")
    return f"{row.of.name}.{rest.strip('/') or VERBS[row.method]}"


@cache
def described(name: str) -> Description:
    """Of one endpoint. Raises FileNotFoundError, and ValueError which says what is wrong with its file."""
    path = FOLDER / f"{name}.toml"
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Description)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"{path}: {error}") from None
