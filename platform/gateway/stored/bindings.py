"""Whose it is what upstreams store: told to Valkey before a client sees the id, and to PostgreSQL by the usage line.

Ids are bound by organization and endpoint, so two upstreams that give the same id don't mix.
"""

import asyncio
from functools import partial

import structlog
from django.conf import settings

from billing import stored
from gateway.database import in_thread, needing_postgres
from gateway.offering.offer import Offer, OfferedRoute
from hotstate.errors import Unreachable
from hotstate.fast import HotState
from hotstate.stored import Stored, is_id

log = structlog.get_logger(__name__)

# Look-ups of ids that Valkey hasn't got, at once: who guesses ids keeps nobody else from the database.
AT_ONCE = 2


class Bindings:
    def __init__(self, hotstate: HotState) -> None:
        self._hotstate = hotstate
        self._asking = asyncio.Semaphore(AT_ONCE)

    async def bind(self, org: str, kind: str, upstream_id: str, made: Stored) -> None:
        """Tell every gateway. Where Valkey is away, the answer is found once its line is posted."""
        keep_ms = settings.STORED_HOT_SECONDS * 1000
        try:
            await self._hotstate.bind(org, kind, upstream_id, made, keep_ms=keep_ms)
        except Unreachable as error:
            log.warning("stored answer not told to Valkey", org=org, kind=kind, error=str(error))

    async def find(self, org: str, kind: str, upstream_id: str) -> Stored | None:
        """Who made what the organization has stored; None where it has nothing by that id.

        Raises Unreachable where nobody can tell.
        """
        if not is_id(upstream_id):
            return None
        made = await self._hotstate.bound(org, kind, upstream_id)
        if made is None:
            async with self._asking:
                with needing_postgres():
                    made = await in_thread(partial(stored.find, org, kind, upstream_id))
            if made:
                await self.bind(org, kind, upstream_id, made)
        return made


def route_of(made: Stored, offer: Offer) -> OfferedRoute | None:
    """The route that made it; None where it is switched off."""
    model = offer.models.get(made.model)
    routes = model.routes if model else ()
    return next((route for route in routes if route.pk == made.route), None)


def upstream_of(made: Stored, offer: Offer) -> int | None:
    """The upstream that keeps it; None where its route is switched off."""
    route = route_of(made, offer)
    return route.upstream if route else None
