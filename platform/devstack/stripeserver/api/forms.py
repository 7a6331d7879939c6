"""Stripe's form encoding.

`metadata[order]=6&expand[0]=customer` is `{"metadata": {"order": "6"}, "expand": ["customer"]}`.
"""

import re
from collections.abc import Iterable
from typing import Any

from devstack.stripeserver.api.problems import malformed
from devstack.stripeserver.store import Json

KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
DEEPEST = 8


def decode(pairs: Iterable[tuple[str, str]]) -> Json:
    """The nested parameters. Raises a Problem where a name is malformed."""
    result: Json = {}
    for key, value in pairs:
        found = KEY.fullmatch(key)
        steps = [found[1], *re.findall(r"\[([^\[\]]*)\]", found[2])] if found else []
        if not 0 < len(steps) <= DEEPEST:
            raise malformed(f"Invalid parameter name: {key[:80]}")
        _put(result, steps, value, key)
    return {name: _lists(value) for name, value in result.items()}


def _put(into: Json, steps: list[str], value: str, key: str) -> None:
    for step in steps[:-1]:
        into = into.setdefault(step or str(len(into)), {})
        if not isinstance(into, dict):
            raise malformed(f"Invalid parameter name: {key[:80]}")
    into[steps[-1] or str(len(into))] = value


def _lists(value: Any) -> Any:
    """Hashes whose keys are all numbers are lists."""
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(part) for name, part in value.items()}
    if all(name.isdecimal() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
