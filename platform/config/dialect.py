"""DIALECT: the small choices in which compatible APIs differ, each set of them a file (docs/dialects.md)."""

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

SHIPPED = Path(__file__).resolve().parent.parent / "gateway" / "dialects"

Status = Annotated[int, Meta(ge=400, le=599)]
HeaderName = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,60}$")]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said differently in one case."""

    status: Status | UnsetType = UNSET
    type: str | UnsetType = UNSET
    code: str | UnsetType = UNSET


class Errors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`types` by status, `code` of every error; what a case says goes before both."""

    types: dict[Status, str] = {}
    code: str | UnsetType = UNSET
    cases: dict[str, Rule] = {}


class RateHeaders(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` has `{what}` (limit, remaining, reset) and `{kind}` (requests, tokens)."""

    name: str = "x-ratelimit-{what}-{kind}"
    reset: Literal["duration", "seconds", "timestamp"] = "duration"

    def __post_init__(self) -> None:
        for what in ("limit", "remaining", "reset"):
            msgspec.convert(self.named(what, "tokens"), HeaderName)
        if "{what}" not in self.name or "{kind}" not in self.name:
            raise ValueError("a rate header's name needs {what} and {kind}")

    def named(self, what: str, kind: str) -> str:
        try:
            return self.name.format(what=what, kind=kind)
        except (KeyError, IndexError) as error:
            raise ValueError("a rate header's name has {what} and {kind}, and nothing else in braces") from error


class Dialect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One API's choices. What a file leaves out is as OpenAI has it."""

    name: str
    key_prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,30}$")] = "km-sk"
    credential_headers: Annotated[tuple[Literal["authorization", "api-key"], ...], Meta(min_length=1)] = (
        "authorization",
        "api-key",
    )
    base_paths: Annotated[tuple[Annotated[str, Meta(pattern=r"^(/[a-z0-9.-]+)*$")], ...], Meta(min_length=1)] = ("/v1",)
    plain_http: Literal["answered", "refused"] = "answered"
    answered_model: Literal["asked", "upstream"] = "asked"
    extra_endpoints: tuple[Literal["model_info"], ...] = ()
    preview: tuple[str, ...] = ()
    rate_headers: RateHeaders = RateHeaders()
    errors: Errors = Errors()

    def below_base(self, path: str) -> str | None:
        """The endpoint's path, such as `/models`; None where it is under none of the bases."""
        for base in _longest_first(self.base_paths):
            if path.startswith(base + "/"):
                return path.removeprefix(base)
        return None


@lru_cache
def _longest_first(paths: tuple[str, ...]) -> list[str]:
    return sorted(paths, key=len, reverse=True)


def dialect(raw: str) -> Dialect:
    """A shipped one by its name, or one in a file of yours by its path. Raises ValueError, which says what is wrong."""
    path = Path(raw) if "/" in raw or raw.endswith(".toml") else SHIPPED / f"{raw}.toml"
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Dialect, str_keys=True)
    except FileNotFoundError:
        names = ", ".join(sorted(found.stem for found in SHIPPED.glob("*.toml")))
        raise ValueError(f"there is no {path}; a dialect is one of {names}, or the path of a file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"{path}: {error}") from None
