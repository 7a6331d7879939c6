"""Pages of a long table by key: the thousandth costs what the first does."""

from typing import Any, TypeVar
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest

Row = TypeVar("Row", bound=Model)


def page_of(request: HttpRequest, rows: QuerySet[Row], size: int, *, newest_first: bool) -> tuple[list[Row], Any]:
    """The page that `after` in the address asks for, and what it is for the next one, if there is one."""
    after = request.GET.get("after", "")
    if after.isdecimal():
        key = int(after[:18])
        rows = rows.filter(pk__lt=key) if newest_first else rows.filter(pk__gt=key)
    found = list(rows[: size + 1])
    return found[:size], found[size - 1].pk if len(found) > size else None


def skipped(request: HttpRequest) -> int:
    """How many rows come before the page that is asked for, where rows are computed and have no key."""
    skip = request.GET.get("skip", "")
    return int(skip[:6]) if skip.isdecimal() else 0


def address_of(chosen: dict[str, str]) -> str:
    """What was chosen, as in an address, without its question mark."""
    return urlencode({name: value for name, value in chosen.items() if value})
