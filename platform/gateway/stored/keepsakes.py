"""What upstreams keep for an organization: given, changed and deleted by its id, at the route that made it.

It costs nothing and holds nothing, and counts as a request, which may reach the upstream. What isn't the organization's
own isn't there.
"""

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import aiohttp
import msgspec
from django.conf import settings
from msgspec.structs import replace

from gateway import errors
from gateway.asking.endpoints import StoredEndpoint
from gateway.deciding.admission import Admission, address_of
from gateway.deciding.decision import Question, judge
from gateway.deciding.keyring import Identity
from gateway.http.incoming import Incoming
from gateway.http.outgoing import Outgoing
from gateway.offering.offer import Offer, OfferedRoute
from gateway.stored.bindings import Bindings, route_of
from gateway.stored.caretaker import Caretaker
from gateway.stored.passing import pass_bytes, pass_events, while_there
from gateway.upstreams.upstream import UpstreamError, Upstreams, decoded, read_answer
from hotstate.stored import Stored

BODY_SECONDS = 60.0
NOT_FOUND = 404
ANYTHING = frozenset({"id", "object", "data"})
# What tells how something ended.
TOLD = ("status", "usage", "output", "seconds")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Keepsakes:
    def __init__(self, admission: Admission, bindings: Bindings, upstreams: Upstreams, caretaker: Caretaker) -> None:
        self._admission = admission
        self._bindings = bindings
        self._upstreams = upstreams
        self._caretaker = caretaker

    async def answer(
        self,
        row: StoredEndpoint,
        stored_id: str,
        identity: Identity,
        offer: Offer,
        incoming: Incoming,
        outgoing: Outgoing,
        request_id: UUID,
    ) -> None:
        """Ask the route that made it. Raises ApiError and Unreachable."""
        question = Question(request_id=str(request_id), scope=row.of.scope, address=address_of(incoming), counts=True)
        # Before anybody is asked whose it is: PostgreSQL isn't there for those who guess ids.
        await self._admission.permit(identity, question, outgoing)
        made = None
        if not incoming.is_path_encoded:
            made = await self._bindings.find(identity.record.org, row.of.name, stored_id)
        # A model that the key may not use: as if there were nothing.
        if made is None or not _may_use(made, offer, identity, question):
            raise errors.NOT_STORED
        route = route_of(made, offer)
        if route is None:
            raise errors.UPSTREAM_DOWN
        body = await _body(incoming) if row.takes_body else b""
        path = row.at(stored_id) + _query(incoming)
        asking = self._upstreams.ask(route, path, body, request_id=str(request_id), method=row.method)

        async def work() -> None:
            if row.method == "DELETE" and row.of.goes_on:
                await self._caretaker.before_deletion(identity.record.org, row.of.name, stored_id)
            async with asking as response:
                await self._pass_on(response, row, stored_id, identity.record.org, made, route, outgoing)

        try:
            await while_there(incoming, work())
        except UpstreamError as failure:
            if not outgoing.started:
                raise errors.NOT_STORED if failure.status == NOT_FOUND else failure.error from failure

    async def _pass_on(
        self,
        response: aiohttp.ClientResponse,
        row: StoredEndpoint,
        stored_id: str,
        org: str,
        made: Stored,
        route: OfferedRoute,
        outgoing: Outgoing,
    ) -> None:
        if row.is_bytes:
            await pass_bytes(response, outgoing)
            return
        if response.content_type == "text/event-stream":
            await pass_events(response, outgoing, model=made.model, route=route)
            return
        answer = await read_answer(response, ANYTHING, route)
        if row.of.goes_on and "status" in answer:
            told = {name: decoded(answer[name]) for name in TOLD if name in answer}
            await self._caretaker.heard(org, row.of.name, stored_id, told)
        if "model" in answer and settings.DIALECT.answered_model == "asked":
            answer["model"] = msgspec.Raw(msgspec.json.encode(made.model))
        await outgoing.whole(200, msgspec.json.encode(answer))


def _may_use(made: Stored, offer: Offer, identity: Identity, question: Question) -> bool:
    """Whether the model binds as for the request that made it."""
    of_model = replace(question, model=made.model, also_known_as=offer.aliases_of(made.model))
    return judge(identity, of_model, datetime.now(UTC)) == ""


async def _body(incoming: Incoming) -> bytes:
    body = await incoming.body(settings.GATEWAY_MAX_BODY_BYTES, within=BODY_SECONDS)
    try:
        body.decode()
        _object.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.NOT_JSON from None
    return body


def _query(incoming: Incoming) -> str:
    """The parameters as the client sent them, encoded anew."""
    pairs = parse_qsl(incoming.query, keep_blank_values=True)
    return "?" + urlencode(pairs) if pairs else ""
