"""The account at the local Stripe: its objects, its clock, what it has to do later, and whom it tells."""

import copy
import secrets
import string
import time
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from devstack.stripeserver.api.problems import missing
from devstack.stripeserver.bell import Bell
from devstack.stripeserver.objects.event import event
from devstack.stripeserver.store import Json, Store

MOST_DUTIES = 20_000
LETTERS = string.ascii_letters + string.digits
NAMES = {
    "checkout.session": "checkout.session",
    "payment_method": "PaymentMethod",
    "webhook_endpoint": "webhook endpoint",
    "balance_transaction": "balance transaction",
}


@dataclass(order=True)
class Duty:
    """Something to do at a moment (Unix seconds): an action's name and the object it is about."""

    at: float
    action: str
    about: str


@dataclass
class Account:
    """Everything that outlives a request. `moment` is how many seconds "a moment later" is: disputes, slow refunds."""

    address: str
    moment: float = 0.5
    store: Store = field(default_factory=Store)
    agenda: list[Duty] = field(default_factory=list)
    ahead: float = 0
    request: Json = field(default_factory=lambda: {"id": None, "idempotency_key": None})
    tell: Callable[[Json], None] = lambda event: None
    bell: Bell = field(default_factory=Bell)
    """Rung where the agenda, the clock or an object changed."""

    def time(self) -> float:
        """Now in Unix seconds; the control endpoint can move it forward."""
        return time.time() + self.ahead

    def now(self) -> int:
        return int(self.time())

    def find(self, kind: str, name: str, param: str = "id") -> Json:
        """The object of this kind and id. Raises Stripe's `resource_missing`."""
        found = self.store.get(name, kind)
        if found is None:
            raise missing(NAMES.get(kind, kind), name, param)
        return found

    def private(self, thing: Json) -> Json:
        return self.store.private.setdefault(thing["id"], {})

    def later(self, action: str, about: str, after: float | None = None) -> None:
        """Put something on the agenda, a moment from now unless `after` says when."""
        insort(self.agenda, Duty(self.time() + (self.moment if after is None else after), action, about))
        del self.agenda[MOST_DUTIES:]
        self.bell.ring()

    def announce(self, kind: str, thing: Json, previous: Json | None = None) -> None:
        """Make an event of what just happened, with the object as it is now, and send it to the webhook endpoints."""
        made = event(new_id("evt"), self.now(), kind, copy.deepcopy(thing), copy.deepcopy(previous), self.request)
        self.tell(self.store.keep(made))

    def change(self, thing: Json, announced: str | None = None, **fields: Any) -> None:
        """Change an object's fields, and announce what they were before."""
        previous = {name: thing[name] for name, value in fields.items() if thing[name] != value}
        thing.update(fields)
        if announced:
            self.announce(announced, thing, previous)


def new_id(prefix: str, length: int = 24) -> str:
    return f"{prefix}_{''.join(secrets.choice(LETTERS) for _ in range(length))}"
