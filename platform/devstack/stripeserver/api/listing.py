"""Lists: newest first, in pages, with cursors that are ids."""

from collections.abc import Callable, Iterable
from typing import Any

from devstack.stripeserver.account import Account
from devstack.stripeserver.api.parameters import Parameters, Reader, hash_of, integer, text
from devstack.stripeserver.api.problems import malformed, missing
from devstack.stripeserver.store import Json

MOMENT = hash_of(dict.fromkeys(("gt", "gte", "lt", "lte"), integer))
COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "gt": int.__gt__,
    "gte": int.__ge__,
    "lt": int.__lt__,
    "lte": int.__le__,
}


def created(value: Any, param: str) -> Json:
    """A moment, or bounds of one."""
    if isinstance(value, dict):
        return {name: bound for name, bound in MOMENT(value, param).items() if bound is not None}
    moment = integer(value, param)
    return {} if moment is None else {"gte": moment, "lte": moment}


def paged(**filters: Reader) -> Parameters:
    """The parameters of a list with these filters."""
    return {"limit": integer, "starting_after": text, "ending_before": text, **filters}


def page(account: Account, kind: str, given: Json, url: str, **wanted: Any) -> Json:
    """One page of all objects of a kind whose fields are as wanted: equal, one of a list, or whatever for None."""
    bounds = given.get("created") or {}

    def fits(thing: Json) -> bool:
        in_time = all(COMPARISONS[name](thing["created"], bound) for name, bound in bounds.items())
        return in_time and all(_is(thing[name], value) for name, value in wanted.items())

    return page_of(account.store.newest(kind), given, url, fits)


def page_of(things: Iterable[Json], given: Json, url: str, fits: Callable[[Json], bool] = lambda thing: True) -> Json:
    """One page of the things that fit; they come newest first. A cursor counts by its place, whether it fits or not."""
    limit = 10 if given.get("limit") is None else given["limit"]
    if not 1 <= limit <= 100:
        raise malformed("Invalid limit: it must be between 1 and 100.", "parameter_invalid_integer", "limit")
    after, before = given.get("starting_after"), given.get("ending_before")
    if after and before:
        raise malformed("You can't give both starting_after and ending_before.", param="ending_before")
    found = list(things)
    names = [thing["id"] for thing in found]
    for param, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor and cursor not in names:
            raise missing("object", cursor, param)
    if before:
        newer = [thing for thing in found[: names.index(before)] if fits(thing)]
        return as_list(newer[-limit:], url, has_more=len(newer) > limit)
    older = [thing for thing in found[names.index(after) + 1 if after else 0 :] if fits(thing)]
    return as_list(older[:limit], url, has_more=len(older) > limit)


def _is(value: Any, wanted: Any) -> bool:
    return wanted is None or (value in wanted if isinstance(wanted, list) else value == wanted)


def as_list(data: list[Json], url: str, *, has_more: bool = False) -> Json:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}
