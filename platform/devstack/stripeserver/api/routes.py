"""A route: method, path, what it does and which parameters it takes."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from devstack.stripeserver.account import Account
from devstack.stripeserver.api.parameters import Parameters
from devstack.stripeserver.store import Json

Operation = Callable[[Account, Json], Json]
"""Gets the account and what was given: the read parameters, and the path's names. Returns an object or a list."""


@dataclass(frozen=True)
class Route:
    """`path` has names in braces: `/v1/customers/{customer}`."""

    method: str
    path: str
    operation: Operation
    parameters: Parameters = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How faults and records call it: `POST /v1/refunds`."""
        return f"{self.method} {self.path}"

    @cached_property
    def pattern(self) -> "re.Pattern[str]":
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The path's names if this request is for this route."""
        found = self.pattern.fullmatch(path) if method == self.method else None
        return found.groupdict() if found else None
