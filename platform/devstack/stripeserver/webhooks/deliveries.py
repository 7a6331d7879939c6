"""Deliveries: one event to one endpoint, when, and what became of it."""

from collections import deque
from dataclasses import dataclass, field, replace

from devstack.stripeserver.account import Account
from devstack.stripeserver.faults import Fault, Faults
from devstack.stripeserver.store import Json

MOST_REMEMBERED = 2000
MOST_WAITING = 5000


@dataclass
class Delivery:
    """`due` is in Unix seconds. `manner` is the fault of its first attempt, `number` its place."""

    event: str
    kind: str
    endpoint: str
    due: float
    manner: str = ""
    attempt: int = 0
    number: int = 0
    outcome: str = "waiting"


@dataclass
class Deliveries:
    """What is waiting, in order, and what was done, newest last. `retries` are seconds before each retry."""

    account: Account
    faults: Faults
    retries: list[float]
    waiting: list[Delivery] = field(default_factory=list)
    count: int = 0
    done: deque[Delivery] = field(default_factory=lambda: deque(maxlen=MOST_REMEMBERED))

    def take(self, event: Json) -> None:
        """Line an event up for every endpoint that wants it."""
        for endpoint in reversed(list(self.account.store.newest("webhook_endpoint"))):
            if endpoint["status"] == "enabled" and {"*", event["type"]} & set(endpoint["enabled_events"]):
                event["pending_webhooks"] += 1
                self._line_up(event, endpoint["id"], self.faults.of_webhook(event["type"]))
        del self.waiting[:-MOST_WAITING]
        self.account.bell.ring()

    def resend(self, event: Json, endpoint: str) -> None:
        """Once more, as Stripe's dashboard does."""
        event["pending_webhooks"] += 1
        self._line_up(event, endpoint, None)
        self.account.bell.ring()

    def next_due(self, busy: set[str]) -> Delivery | None:
        """The first that is due for an endpoint that isn't busy."""
        now = self.account.time()
        return next((one for one in self.waiting if one.due <= now and one.endpoint not in busy), None)

    def finish(self, delivery: Delivery, outcome: str, *, accepted: bool) -> None:
        """After an attempt: done, or waiting for the next one."""
        if not any(one is delivery for one in self.waiting):
            return  # all was forgotten meanwhile
        delivery.outcome, delivery.manner = outcome, ""
        self.waiting = [one for one in self.waiting if one is not delivery]
        self._release(delivery)
        self.done.append(replace(delivery))
        if not accepted and delivery.attempt <= len(self.retries):
            delivery.due = self.account.time() + self.retries[delivery.attempt - 1]
            delivery.outcome = "waiting"
            self.waiting.append(delivery)
        elif event := self.account.store.get(delivery.event, "event"):
            event["pending_webhooks"] = max(event["pending_webhooks"] - 1, 0)

    def _line_up(self, event: Json, endpoint: str, fault: Fault | None) -> None:
        manner, now = fault.fault if fault else "", self.account.time()
        self.count += 1
        delivery = Delivery(event["id"], event["type"], endpoint, now, manner, number=self.count)
        if fault and manner in ("delay", "reorder"):
            delivery.due += fault.seconds
        if manner == "drop":
            delivery.outcome = "dropped"
            self.done.append(delivery)
            return
        self.waiting.append(delivery)
        if manner == "duplicate":
            self.waiting.append(replace(delivery, manner=""))

    def _release(self, sent: Delivery) -> None:
        """A later one went out, so those that waited for it may follow."""
        for one in self.waiting:
            if one.endpoint == sent.endpoint and one.manner == "reorder" and one.number < sent.number:
                one.due = 0
