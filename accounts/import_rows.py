"""Files of keys that another system made: CSV or JSON lines → rows, each what is to be imported or why it can't be."""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, BinaryIO, NamedTuple

import msgspec
from msgspec import Meta

from accounts import secrets
from accounts.key_terms import (
    LARGEST_LIMIT,
    MOST_LISTED,
    KeyTerms,
    NotABudget,
    NotAModelPattern,
    NotANetwork,
    NotAnExpiry,
    budget_nanos,
    expiry,
    model_pattern,
    network,
)
from hotstate.records import Budgets, Limits

LONGEST_LINE = 64 * 1024
LISTS = ("scopes", "models", "networks")
Limit = Annotated[int, Meta(ge=1, le=LARGEST_LIMIT)] | None
Amount = str | int | None
Texts = Annotated[list[str], Meta(max_length=MOST_LISTED)]


class _Fields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A row as it is written. Budgets are decimal dollars."""

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    secret: str | None = None
    sha256: str | None = None
    scopes: list[str] | None = None
    models: Texts = []
    networks: Texts = []
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    requests_per_minute: Limit = None
    tokens_per_minute: Limit = None
    requests_per_day: Limit = None
    concurrent_requests: Limit = None
    budget_day: Amount = None
    budget_week: Amount = None
    budget_month: Amount = None
    budget_total: Amount = None


COLUMNS = _Fields.__struct_fields__
_decoder = msgspec.json.Decoder(_Fields)


class Row(NamedTuple):
    """A key to import. `sha256` is the secret's; `prefix` and `last4` are empty where only that is known."""

    line: int
    sha256: bytes
    prefix: str
    last4: str
    terms: KeyTerms


class BadRow(NamedTuple):
    """A line that can't be imported, and what to do about it. It never quotes a secret."""

    line: int
    problem: str


class BadFile(ValueError):
    """The file as a whole can't be read; the message says what to do."""


class _Bad(ValueError):
    pass


def read_rows(file: BinaryIO, *, json_lines: bool, scopes: Iterable[str], now: datetime) -> Iterator[Row | BadRow]:
    """One result a row, in order. `scopes` are those that keys can have. Raises BadFile."""
    known = frozenset(scopes)
    for line, fields in _json_lines(file) if json_lines else _csv(file):
        if isinstance(fields, BadRow):
            yield fields
            continue
        try:
            yield _row(line, fields, known, now)
        except (_Bad, NotANetwork, NotAModelPattern) as error:
            yield BadRow(line, str(error))


def _json_lines(file: BinaryIO) -> Iterator[tuple[int, _Fields | BadRow]]:
    line = 0
    while raw := file.readline(LONGEST_LINE + 1):
        line += 1
        if line == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if len(raw) > LONGEST_LINE:
            raise BadFile(f"Line {line} is longer than {LONGEST_LINE} bytes: it has to be one JSON object a line.")
        if not raw.strip():
            continue
        try:
            yield line, _decoder.decode(raw)
        except msgspec.ValidationError as error:
            yield line, BadRow(line, f"{error}.")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield line, BadRow(line, "This is no JSON object: write one a line, in UTF-8.")


def _csv(file: BinaryIO) -> Iterator[tuple[int, _Fields | BadRow]]:
    # Bytes that aren't UTF-8 become surrogates, which are found in their row.
    text = (raw.decode("utf-8-sig", "surrogateescape") for raw in iter(lambda: file.readline(LONGEST_LINE), b""))
    reader = csv.reader(text, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        unknown = sorted(set(header) - set(COLUMNS))
        if unknown or "name" not in header or len(set(header)) < len(header):
            wrong = f" These are none, or twice: {', '.join(map(ascii, unknown))}." if unknown else ""
            raise BadFile(f"The first line has to name the columns, each once, of {', '.join(COLUMNS)}.{wrong}")
        begun = reader.line_num + 1
        for cells in reader:
            line, begun = begun, reader.line_num + 1
            if any(cell.strip() for cell in cells):
                yield line, _cells(line, header, cells)
    except csv.Error as error:
        raise BadFile(
            f"Line {reader.line_num} is no CSV: {error}. Quote what has commas, quotes or line ends."
        ) from None


def _cells(line: int, header: list[str], cells: list[str]) -> _Fields | BadRow:
    if len(cells) != len(header):
        return BadRow(line, f"It has {len(cells)} columns, the header {len(header)}: quote what has commas.")
    told: dict[str, Any] = {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}
    for name in LISTS:
        if name in told:
            told[name] = told[name].split()
    try:
        return msgspec.convert(told, _Fields, strict=False)
    except msgspec.ValidationError as error:
        return BadRow(line, f"{error}.")


def _row(line: int, fields: _Fields, scopes: frozenset[str], now: datetime) -> Row:
    sha256, prefix, last4 = _secret(fields)
    if not fields.name.strip() or not fields.name.isprintable():
        raise _Bad("`name` is empty, or has characters that can't be shown: write it in UTF-8.")
    unknown = sorted(set(fields.scopes or ()) - scopes)
    if unknown:
        raise _Bad(f"There is no scope {unknown[0][:40]!a}; scopes are {', '.join(sorted(scopes))}.")
    if fields.scopes == []:
        raise _Bad("`scopes` is empty, so the key could do nothing: name some, or leave it out for all.")
    terms = KeyTerms(
        name=fields.name.strip(),
        scopes=sorted(scopes) if fields.scopes is None else fields.scopes,
        allowed_models=[model_pattern(text) for text in fields.models],
        allowed_networks=[network(text) for text in fields.networks],
        expires_at=fields.expires_at and _expiry(fields.expires_at, now),
        limits=Limits(**{name: getattr(fields, name) for name in Limits.__struct_fields__}),
        budgets=Budgets(**{window: _nanos(fields, window) for window in Budgets.__struct_fields__}),
    )
    return Row(line, sha256, prefix, last4, terms)


def _expiry(at: datetime, now: datetime) -> datetime:
    try:
        return expiry(at, now)
    except NotAnExpiry as error:
        raise _Bad(f"{error} Leave a key out that has ended, and the column for one that never does.") from None


def _secret(fields: _Fields) -> tuple[bytes, str, str]:
    """SHA-256, how it begins, how it ends; empty where it isn't known."""
    if bool(fields.secret) == bool(fields.sha256):
        raise _Bad("Give `secret` or `sha256`, one of them.")
    if fields.secret:
        shown = secrets.shown_parts(fields.secret)
        if shown is None:
            raise _Bad("No gateway would let this secret in: IMPORTED_KEY_PATTERNS has no pattern that fits it.")
        return secrets.sha256(fields.secret), *shown
    if not re.fullmatch("[0-9a-fA-F]{64}", fields.sha256 or ""):
        raise _Bad("`sha256` has to be the 64 hexadecimal digits of the SHA-256 of the whole secret.")
    if not secrets.takes_imports():
        raise _Bad("No gateway would let this secret in: IMPORTED_KEY_PATTERNS has no patterns. Set it first.")
    return bytes.fromhex(fields.sha256 or ""), "", ""


def _nanos(fields: _Fields, window: str) -> int | None:
    told = getattr(fields, f"budget_{window}")
    if told is None:
        return None
    try:
        return budget_nanos(told)
    except NotABudget as error:
        raise _Bad(f"`budget_{window}` {error}") from None
