"""`expand`: an id is replaced by its object, and lists that come only when asked for are filled in."""

import copy
from collections.abc import Callable
from typing import Any

from devstack.stripeserver.account import Account
from devstack.stripeserver.api.listing import page
from devstack.stripeserver.api.problems import malformed
from devstack.stripeserver.store import Json

DEEPEST = 4


def expanded(account: Account, answer: Json, paths: list[str]) -> Json:
    """A copy of the answer in which these paths (`data.latest_charge.balance_transaction`) are expanded."""
    result = copy.deepcopy(answer)
    for path in paths:
        steps = path.split(".")
        if len(steps) > DEEPEST:
            raise malformed(f"You cannot expand more than {DEEPEST} levels of a property: {path}", param="expand")
        _expand(account, result, steps, path)
    return result


def _expand(account: Account, thing: Any, steps: list[str], path: str) -> None:
    if isinstance(thing, list):
        for part in thing:
            _expand(account, part, steps, path)
        return
    if not isinstance(thing, dict) or not steps:
        return
    name = steps[0]
    if name not in thing and (thing.get("object"), name) not in ON_DEMAND:
        raise malformed(f"This property cannot be expanded ({path}).", param="expand")
    thing[name] = _value(account, thing, name)
    _expand(account, thing[name], steps[1:], path)


def _value(account: Account, thing: Json, name: str) -> Any:
    if make := ON_DEMAND.get((str(thing.get("object")), name)):
        return make(account, thing)
    value = thing[name]
    if isinstance(value, str):
        return copy.deepcopy(account.store.get(value)) or value
    return value


def _refunds(account: Account, charge: Json) -> Json:
    return copy.deepcopy(page(account, "refund", {}, f"/v1/charges/{charge['id']}/refunds", charge=charge["id"]))


def _line_items(account: Account, session: Json) -> Json:
    items: Json = copy.deepcopy(account.private(session)["line_items"])
    return items


ON_DEMAND: dict[tuple[str, str], Callable[[Account, Json], Json]] = {
    ("charge", "refunds"): _refunds,
    ("checkout.session", "line_items"): _line_items,
}
