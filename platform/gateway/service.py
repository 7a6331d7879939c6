"""The gateway's parts, put together: from a path to an answer."""

import asyncio
from functools import partial
from pathlib import Path
from uuid import UUID

import orjson
import structlog
from django.conf import settings

from gateway import errors, metrics
from gateway.asking import endpoints
from gateway.asking.endpoints import MODELS_SCOPE, Endpoint
from gateway.deciding import processes
from gateway.deciding.admission import Admission, address_of
from gateway.deciding.decision import Decider, Decision, Question
from gateway.deciding.era_watch import EraWatch
from gateway.deciding.journal import Journal
from gateway.deciding.keyring import Identity, Keyring
from gateway.deciding.leases import Leases
from gateway.errors import ApiError, refusal
from gateway.faces import forward_auth, json_face
from gateway.faces.cases import Cases
from gateway.faces.forward_auth import ForwardAuth
from gateway.faces.json_face import JsonFace
from gateway.faces.known_gateways import KnownGateways
from gateway.http.incoming import ClientGoneError, Incoming
from gateway.http.outgoing import Outgoing
from gateway.http.request_ids import moment_of
from gateway.logs.shipping import Shipper
from gateway.logs.spool import take_abandoned, take_slot
from gateway.logs.unshipped import unshipped_holds
from gateway.logs.usage_log import UsageLog
from gateway.offering import model_list, previews
from gateway.offering.offer import Offer, OfferWatch
from gateway.offering.own_key import KEY_PATH, describe_key
from gateway.proxying.forwarding import Forwarding
from gateway.stored.bindings import Bindings
from gateway.stored.caretaker import Caretaker
from gateway.stored.keepsakes import Keepsakes
from gateway.upstreams.routing import Routing
from gateway.upstreams.upstream import Upstreams
from hotstate.errors import Unreachable
from hotstate.fast import HotState

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 10.0


class Gateway:
    """Everything that one gateway process holds."""

    def __init__(self) -> None:
        self.hotstate = HotState(settings.VALKEY_URL, on_failure=metrics.valkey_errors.inc)
        self.journal = Journal(self.hotstate)
        self.watch = OfferWatch(self.hotstate)
        lease_seconds = settings.HOLD_LEASE_SECONDS
        self.keyring = Keyring(self.hotstate)
        self.decider = Decider(self.hotstate, self.keyring, self.journal, lease_seconds=lease_seconds)
        self.leases = Leases(self.hotstate, lease_seconds=lease_seconds)
        self.usage_log = _usage_log(take_slot(settings.GATEWAY_SPOOL_DIR))
        abandoned = take_abandoned(settings.GATEWAY_SPOOL_DIR)
        for folder in abandoned:
            _usage_log(folder).shut()
        self.upstreams = Upstreams(
            connect_seconds=settings.UPSTREAM_CONNECT_SECONDS,
            idle_seconds=settings.UPSTREAM_IDLE_SECONDS,
            longest_seconds=settings.UPSTREAM_LONGEST_SECONDS,
        )
        self.routing = Routing(self.upstreams, attempts=settings.UPSTREAM_ATTEMPTS, failures=settings.UPSTREAM_FAILURES)
        self.shipper = Shipper(
            self.usage_log,
            abandoned,
            self.upstreams.session,
            url=settings.INTAKE_URL,
            credential=settings.GATEWAY_CREDENTIAL,
        )
        self.era_watch = EraWatch(
            self.hotstate,
            self.leases,
            name=self.usage_log.source,
            beat=partial(processes.beat, self.usage_log.source),
            logged=partial(unshipped_holds, self.usage_log, abandoned),
        )
        self.known_gateways = KnownGateways(self.hotstate)
        self.admission = Admission(self.decider, self.leases)
        self.bindings = Bindings(self.hotstate)
        self.caretaker = Caretaker(self.hotstate, self.watch, self.upstreams, self.usage_log)
        self.forwarding = Forwarding(
            self.admission,
            self.hotstate,
            self.keyring,
            self.leases,
            self.usage_log,
            self.routing,
            self.bindings,
            self.caretaker,
        )
        self.keepsakes = Keepsakes(self.admission, self.bindings, self.upstreams, self.caretaker)
        cases = Cases(self.decider, self.watch, self.leases, self.usage_log)
        self.json_face = JsonFace(cases, self.hotstate, self.usage_log)
        self.forward_auth = ForwardAuth(cases, self.known_gateways)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin the background work. The gateway answers 503 until the offer was read once."""
        self._tasks = [
            asyncio.create_task(self.watch.run()),
            asyncio.create_task(self.era_watch.run()),
            asyncio.create_task(self.known_gateways.run()),
            asyncio.create_task(processes.keep_beating(self.usage_log.source)),
            asyncio.create_task(self.leases.renew()),
            asyncio.create_task(self.leases.release_doubtful()),
            asyncio.create_task(self.caretaker.run()),
            asyncio.create_task(self.journal.run()),
            asyncio.create_task(self.shipper.run(sync_seconds=settings.GATEWAY_FSYNC_SECONDS)),
        ]

    async def stop(self) -> None:
        """Stop the background work and ship what was logged."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if await self.shipper.drain(within=DRAIN_SECONDS):
            await processes.say_goodbye(self.usage_log.source)
        await self.journal.flush()
        await self.upstreams.close()
        await self.hotstate.close()

    async def failing(self) -> dict[str, str]:
        """What keeps this gateway from serving: nothing, when it is ready."""
        failures = {} if self.watch.offer else {"catalogue": "not read yet"}
        if self.shipper.refused:
            failures["usage log"] = "GATEWAY_CREDENTIAL is not accepted"
        if self.usage_log.blocked:
            failures["usage log"] = "it can't be written"
        try:
            await self.hotstate.ping()
            if self.hotstate.era is None:
                failures["valkey"] = "it lost its state, or may have, and is being recovered"
        except Unreachable as error:
            failures["valkey"] = str(error)
        return failures

    async def answer(self, incoming: Incoming, outgoing: Outgoing, request_id: UUID) -> None:
        """Answer one request of a client's, or of another gateway's."""
        try:
            await self._answer(incoming, outgoing, request_id)
        except ApiError as error:
            await outgoing.error(error)
        except Unreachable as error:
            log.warning("no decision", request=str(request_id), error=str(error))
            await outgoing.error(errors.UNAVAILABLE)
        except ClientGoneError:
            pass
        except Exception:
            log.exception("request failed", request=str(request_id))
            if not outgoing.started:
                await outgoing.error(errors.INTERNAL)

    async def _answer(self, incoming: Incoming, outgoing: Outgoing, request_id: UUID) -> None:
        incoming.check_size()
        if forward_auth.covers(incoming.path):
            await self.forward_auth.answer(incoming, outgoing, request_id)
        elif incoming.path in json_face.PATHS:
            if incoming.method != "POST":
                raise errors.WRONG_METHOD
            credential = await self.known_gateways.require(incoming)
            await self.json_face.answer(incoming.path, credential, incoming, outgoing, request_id)
        else:
            await self._serve(incoming, outgoing, request_id)

    async def _serve(self, incoming: Incoming, outgoing: Outgoing, request_id: UUID) -> None:
        """Answer a client of ours."""
        path = settings.DIALECT.below_base(incoming.path) or ""
        place = endpoints.place_of(path)
        if place is None and not model_list.covers(path) and path != KEY_PATH:
            raise errors.NO_SUCH_PATH
        if settings.REFUSE_PLAIN_HTTP and incoming.is_plain(behind_tls_proxy=settings.BEHIND_TLS_PROXY):
            raise errors.HTTPS_REQUIRED
        in_preview, takes = previews.preview_of(place), place.by_method if place else ("GET",)
        if incoming.method not in takes and not in_preview:
            raise errors.WRONG_METHOD
        identity = await self.decider.identify(incoming.secret(), request_id, address=address_of(incoming))
        if isinstance(identity, Decision):
            raise refusal(identity.verdict, identity.bound, wait_ms=identity.wait_ms)
        if in_preview:
            await previews.require_open(in_preview, identity, self.decider, request_id)
            if incoming.method not in takes:
                raise errors.WRONG_METHOD
        if path == KEY_PATH:
            await self._key(identity, incoming, outgoing, request_id)
            return
        offer = self.watch.offer
        if offer is None or self.usage_log.blocked:
            raise errors.UNAVAILABLE
        if place is None:
            await self._models(path, identity, offer, incoming, outgoing, request_id)
            return
        row = place.by_method[incoming.method]
        if isinstance(row, Endpoint):
            await self.forwarding.answer(row, identity, offer, incoming, outgoing, request_id)
        else:
            await self.keepsakes.answer(row, place.stored_id, identity, offer, incoming, outgoing, request_id)

    async def _models(
        self, path: str, identity: Identity, offer: Offer, incoming: Incoming, outgoing: Outgoing, request_id: UUID
    ) -> None:
        question = Question(request_id=str(request_id), scope=MODELS_SCOPE, address=address_of(incoming))
        await self.admission.permit(identity, question, outgoing)
        wanted = model_list.wanted(path, incoming.query)
        await outgoing.whole(200, model_list.listing(wanted, identity, offer, moment_of(request_id)))

    async def _key(self, identity: Identity, incoming: Incoming, outgoing: Outgoing, request_id: UUID) -> None:
        now = moment_of(request_id)
        question = Question(request_id=str(request_id), scope=None, address=address_of(incoming))
        decision = await self.admission.permit(identity, question, outgoing)
        standing = await self.hotstate.standing(identity.record, now)
        await outgoing.whole(200, orjson.dumps(describe_key(identity, decision.limits, standing)))


def _usage_log(folder: Path) -> UsageLog:
    return UsageLog(
        folder,
        largest_bytes=settings.GATEWAY_SEGMENT_BYTES,
        oldest_seconds=settings.GATEWAY_SEGMENT_SECONDS,
    )
