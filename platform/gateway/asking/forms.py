"""A body that is a form with files: what it says, as members of JSON, and the same form for an upstream."""

import re
from io import BytesIO
from typing import Any, NamedTuple

import aiohttp
import msgspec
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.http import parse_header_parameters

from gateway import errors
from gateway.asking.members import Members

NUMBERS = frozenset({"n"})
# What a part's head is written with; an upstream's would be another's.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NOT_A_FORM = errors.bad_request("We could not parse the body of your request. It has to be multipart/form-data.")


class Form(NamedTuple):
    """Text fields, and files as (field, name, content type, bytes)."""

    fields: list[tuple[str, str]]
    files: list[tuple[str, str, str, bytes]]

    @property
    def file_bytes(self) -> int:
        return sum(len(content) for *_, content in self.files)

    def members(self) -> Members:
        """The fields as if they were JSON; the last of those with one name."""
        return {name: msgspec.Raw(msgspec.json.encode(_typed(name, text))) for name, text in self.fields}

    def for_upstream(self, changes: dict[str, str], *, without: frozenset[str]) -> aiohttp.FormData:
        """The form again, with other fields."""
        form = aiohttp.FormData(default_to_multipart=True)
        for name, text in {**dict(self.fields), **changes}.items():
            if name not in without:
                form.add_field(name, text)
        for field, name, kind, content in self.files:
            form.add_field(field, content, filename=name, content_type=kind)
        return form


class _InMemory(FileUploadHandler):
    """The gateway has bounded the body: nothing goes to a disk."""

    def new_file(self, *args: object, **kwargs: object) -> None:
        super().new_file(*args, **kwargs)  # type: ignore[arg-type]
        self._parts: list[bytes] = []

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._parts.append(raw_data)

    def file_complete(self, file_size: int) -> "UploadedFile[Any]":
        content = b"".join(self._parts)
        return SimpleUploadedFile(self.file_name or "file", content, self.content_type or "application/octet-stream")


def read_form(body: bytes, content_type: str) -> Form:
    """Raises ApiError where it is no form, or one with more fields than any client sends."""
    _, told = parse_header_parameters(content_type)
    # Without its end it may have been cut off: half a picture isn't what was asked for.
    if f"--{told.get('boundary', '')}--".encode() not in body:
        raise NOT_A_FORM
    head = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    try:
        fields, files = MultiPartParser(head, BytesIO(body), [_InMemory()], "utf-8").parse()
    except (MultiPartParserError, SuspiciousOperation, StopUpload, UnicodeDecodeError, ValueError) as error:
        raise NOT_A_FORM from error
    form = Form(
        [(name, text) for name, texts in fields.lists() for text in texts],
        [
            (field, file.name or "file", file.content_type or "application/octet-stream", file.read())
            for field, found in files.lists()
            for file in found
        ],
    )
    heads = [name for name, _ in form.fields] + [word for *words, _ in form.files for word in words]
    if any(_CONTROL.search(head) for head in heads):
        raise NOT_A_FORM
    return form


def _typed(name: str, text: str) -> str | int | bool:
    if name in NUMBERS and text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    return {"true": True, "false": False}.get(text, text) if name == "stream" else text
