"""What Stripe doesn't have: orders to the local one, under `/_control/`, open to everybody on this machine.

| request | effect |
|---|---|
| `POST /_control/faults {"fault": …}` | orders a fault (see `faults`); GET lists them, DELETE takes them all back |
| `POST /_control/clock {"ahead": SECONDS}` | its clock is so far ahead of the machine's from now on |
| `POST /_control/timing {"moment": SECONDS, "retries": [SECONDS, …]}` | how long "a moment" is, and retries' pauses |
| `POST /_control/disputes {"charge": ID, "reason": …}` | opens a dispute |
| `POST /_control/disputes {"dispute": ID, "status": "won" or "lost"}` | the bank decides it |
| `POST /_control/resend {"event": ID}` | sends an event again to every endpoint |
| `GET /_control/deliveries` | webhooks: `waiting`, and what was `done` (newest last) |
| `GET /_control/quiet` | `{"quiet": true}` where nothing waits to be sent or done |
| `DELETE /_control/everything` | forgets all objects but the webhook endpoints |
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict

from aiohttp import web

from devstack.stripeserver import disputing
from devstack.stripeserver.account import Account
from devstack.stripeserver.api.idempotency import Results
from devstack.stripeserver.api.problems import Problem
from devstack.stripeserver.faults import Faults
from devstack.stripeserver.store import Json
from devstack.stripeserver.webhooks.deliveries import Deliveries

SOON = 60
"""Duties that are further away (a session's expiry) don't count for `quiet`."""


class Control:
    """The control endpoints of one account."""

    def __init__(self, account: Account, results: Results, faults: Faults, deliveries: Deliveries) -> None:
        self.account, self.results, self.faults, self.deliveries = account, results, faults, deliveries

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_post("/_control/faults", _json(self.order))
        router.add_get("/_control/faults", _json(self.list_faults))
        router.add_delete("/_control/faults", _json(self.forget_faults))
        router.add_post("/_control/clock", _json(self.clock))
        router.add_post("/_control/timing", _json(self.timing))
        router.add_post("/_control/disputes", _json(self.dispute))
        router.add_post("/_control/resend", _json(self.resend))
        router.add_get("/_control/deliveries", _json(self.list_deliveries))
        router.add_get("/_control/quiet", _json(self.quiet))
        router.add_delete("/_control/everything", _json(self.forget))

    def order(self, given: Json) -> Json:
        return asdict(self.faults.order(given))

    def list_faults(self, given: Json) -> Json:
        return {"faults": self.faults.listing()}

    def forget_faults(self, given: Json) -> Json:
        self.faults.ordered.clear()
        return {"faults": []}

    def clock(self, given: Json) -> Json:
        self.account.ahead = float(given["ahead"])
        self.account.bell.ring()
        return {"now": self.account.now()}

    def timing(self, given: Json) -> Json:
        self.account.moment = float(given.get("moment", self.account.moment))
        self.deliveries.retries = [float(each) for each in given.get("retries", self.deliveries.retries)]
        return {"moment": self.account.moment, "retries": self.deliveries.retries}

    def dispute(self, given: Json) -> Json:
        if "dispute" in given:
            made = self.account.find("dispute", given["dispute"])
            if given["status"] not in ("won", "lost"):
                raise ValueError("status must be won or lost")
            disputing.close(self.account, made, given["status"])
            return made
        charge = self.account.find("charge", given["charge"])
        return disputing.open_dispute(self.account, charge, given.get("reason", "fraudulent"))

    def resend(self, given: Json) -> Json:
        event = self.account.find("event", given["event"])
        for endpoint in list(self.account.store.newest("webhook_endpoint")):
            self.deliveries.resend(event, endpoint["id"])
        return event

    def list_deliveries(self, given: Json) -> Json:
        both = {"waiting": self.deliveries.waiting, "done": self.deliveries.done}
        return {name: [asdict(each) for each in those] for name, those in both.items()}

    def quiet(self, given: Json) -> Json:
        soon = [duty for duty in self.account.agenda if duty.at < self.account.time() + SOON]
        return {"quiet": not soon and not self.deliveries.waiting}

    def forget(self, given: Json) -> Json:
        kept = self.account.store.kinds.get("webhook_endpoint", {})
        secrets = {name: self.account.store.private[name] for name in kept}
        self.account.store.load({"kinds": {"webhook_endpoint": kept}, "private": secrets})
        self.account.agenda.clear()
        self.deliveries.waiting.clear()
        self.deliveries.done.clear()
        self.faults.ordered.clear()
        self.results.kept.clear()
        return {}


def _json(operation: Callable[[Json], Json]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        try:
            return web.json_response(operation(await request.json() if request.can_read_body else {}))
        except Problem as problem:
            return web.json_response(problem.body(), status=problem.status)
        except (KeyError, TypeError, ValueError) as error:
            return web.json_response({"error": {"message": f"{type(error).__name__}: {error}"}}, status=400)

    return handler
