"""What upstreams keep for an organization: given, changed and deleted by its id, at the route that made it.

It costs nothing, holds nothing and takes nothing of any limit. What isn't the organization's own isn't there.
"""

from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import aiohttp
import msgspec
from django.conf import settings

from gateway import errors
from gateway.admission import Admission, address_of
from gateway.bindings import Bindings, route_of
from gateway.caretaker import Caretaker
from gateway.decision import Question
from gateway.endpoints import StoredEndpoint
from gateway.errors import ApiError
from gateway.incoming import Incoming
from gateway.keyring import Identity
from gateway.offer import Offer
from gateway.outgoing import Outgoing
from gateway.passing import pass_bytes, pass_events, while_there
from gateway.upstream import UpstreamError, Upstreams, decoded, read_answer
from gateway.verdicts import Verdict
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
        made = None
        if not incoming.is_path_encoded:
            made = await self._bindings.find(identity.record.org, row.of.name, stored_id)
        await self._permit(row, made, offer, identity, incoming, outgoing, request_id)
        if made is None:
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
                await self._pass_on(response, row, stored_id, identity.record.org, made, outgoing)

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
        outgoing: Outgoing,
    ) -> None:
        if row.is_bytes:
            await pass_bytes(response, outgoing)
            return
        if response.content_type == "text/event-stream":
            await pass_events(response, outgoing, model=made.model)
            return
        answer = await read_answer(response, ANYTHING)
        if row.of.goes_on and "status" in answer:
            told = {name: decoded(answer[name]) for name in TOLD if name in answer}
            await self._caretaker.heard(org, row.of.name, stored_id, told)
        if "model" in answer and settings.DIALECT.answered_model == "asked":
            answer["model"] = msgspec.Raw(msgspec.json.encode(made.model))
        await outgoing.whole(200, msgspec.json.encode(answer))

    async def _permit(
        self,
        row: StoredEndpoint,
        made: Stored | None,
        offer: Offer,
        identity: Identity,
        incoming: Incoming,
        outgoing: Outgoing,
        request_id: UUID,
    ) -> None:
        """Scope and model bind as for the request that made it. Raises the refusal."""
        question = Question(
            request_id=str(request_id),
            scope=row.of.scope,
            model=made.model if made else None,
            also_known_as=offer.aliases_of(made.model) if made else (),
            address=address_of(incoming),
        )
        try:
            await self._admission.permit(identity, question, outgoing)
        except ApiError as refused:
            # A model that the key may not use: as if there were nothing.
            raise errors.NOT_STORED if refused.case == Verdict.MODEL_NOT_FOUND else refused from refused


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
