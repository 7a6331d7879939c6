"""The gateway's parts, put together: from a path to an answer."""

import asyncio
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from uuid import UUID

import orjson
import structlog
from django.conf import settings
from msgspec.structs import replace

from gateway import asked, errors, forward_auth, json_face, metrics, processes
from gateway.decision import Decider, Decision, LimitState, Question
from gateway.endpoints import FORWARDED, MODELS_PATH, MODELS_SCOPE, Endpoint
from gateway.era_watch import EraWatch
from gateway.errors import ApiError, refusal
from gateway.faces import Bench
from gateway.forward_auth import ForwardAuth
from gateway.incoming import ClientGoneError, Incoming
from gateway.journal import Journal
from gateway.json_face import JsonFace
from gateway.keyring import Identity, Keyring
from gateway.known_gateways import KnownGateways
from gateway.leases import Held, Leases
from gateway.matching import model_allowed
from gateway.offer import Offer, OfferedModel, OfferWatch
from gateway.outgoing import Outgoing
from gateway.own_key import KEY_PATH, describe_key
from gateway.rate_headers import rate_headers
from gateway.refusing import refusal_of
from gateway.request_ids import moment_of
from gateway.running import Running
from gateway.shipping import Shipper
from gateway.spool import take_abandoned, take_slot
from gateway.unshipped import unshipped_holds
from gateway.upstream import Upstreams
from gateway.usage_log import UsageLog
from gateway.verdicts import Verdict
from hotstate.errors import Unreachable
from hotstate.fast import HotState

log = structlog.get_logger(__name__)

BASE = "/v1"
BODY_SECONDS = 60.0
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
            connect_seconds=settings.UPSTREAM_CONNECT_SECONDS, idle_seconds=settings.UPSTREAM_IDLE_SECONDS
        )
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
        bench = Bench(self.decider, self.watch, self.leases, self.usage_log)
        self.json_face = JsonFace(bench, self.hotstate, self.watch, self.usage_log)
        self.forward_auth = ForwardAuth(bench, self.known_gateways)
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
        """Answer one request under /v1 or /auth/check."""
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
            return
        path = incoming.path.removeprefix(BASE)
        if path in json_face.PATHS:
            if incoming.method != "POST":
                raise errors.WRONG_METHOD
            credential = await self.known_gateways.require(incoming)
            await self.json_face.answer(path, credential, incoming, outgoing, request_id)
            return
        endpoint = FORWARDED.get(path)
        is_models = path == MODELS_PATH or path.startswith(MODELS_PATH + "/")
        if endpoint is None and not is_models and path != KEY_PATH:
            raise errors.NO_SUCH_PATH
        if incoming.method != ("POST" if endpoint else "GET"):
            raise errors.WRONG_METHOD
        identity = await self.decider.identify(incoming.secret(), request_id, address=self._address(incoming))
        if isinstance(identity, Decision):
            raise refusal(identity.verdict, identity.bound, wait_ms=identity.wait_ms)
        if path == KEY_PATH:
            await self._key(identity, incoming, outgoing, request_id)
            return
        offer = self.watch.offer
        if offer is None or self.usage_log.blocked:
            raise errors.UNAVAILABLE
        if endpoint:
            await self._forward(endpoint, identity, offer, incoming, outgoing, request_id)
        else:
            await self._models(path, identity, offer, incoming, outgoing, request_id)

    async def _forward(
        self,
        endpoint: Endpoint,
        identity: Identity,
        offer: Offer,
        incoming: Incoming,
        outgoing: Outgoing,
        request_id: UUID,
    ) -> None:
        admitted_at = moment_of(request_id)
        question = Question(request_id=str(request_id), scope=endpoint.scope, address=self._address(incoming))
        try:
            body = await incoming.body(settings.GATEWAY_MAX_BODY_BYTES, within=BODY_SECONDS)
            wanted = asked.read(body, endpoint)
            model = offer.sold(wanted.model, endpoint.family)
            tariff = offer.tariff(model, admitted_at) if model else None
        except ApiError:
            # What is wrong with the key is said before what is wrong with the request.
            await self._permit(identity, question, outgoing)
            raise
        question = replace(question, model=wanted.model)
        if not model or not tariff:
            await self._permit(identity, replace(question, offered=False), outgoing)
            raise refusal(Verdict.MODEL_NOT_FOUND, wanted.model)
        try:
            asked.check_limits(wanted, model)
        except ApiError:
            await self._permit(identity, question, outgoing)
            raise
        hold = wanted.hold_nanos(endpoint, model, tariff)
        question = replace(question, hold_nanos=hold, tokens=wanted.estimated_tokens())
        await self._permit(identity, question, outgoing)
        running = Running(
            request_id=request_id,
            admitted_at=admitted_at,
            identity=identity,
            endpoint=endpoint,
            asked=wanted,
            model=model,
            route=model.routes[0],
            tariff=tariff,
            incoming=incoming,
            outgoing=outgoing,
            hotstate=self.hotstate,
            keyring=self.keyring,
            usage_log=self.usage_log,
            held=Held(identity.record.org, identity.record.key, hold),
            covered_tokens=wanted.covered_output(endpoint, model),
        )
        with self.leases.kept(str(request_id), running.held):
            await running.run(self.upstreams)

    async def _models(
        self,
        path: str,
        identity: Identity,
        offer: Offer,
        incoming: Incoming,
        outgoing: Outgoing,
        request_id: UUID,
    ) -> None:
        question = Question(
            request_id=str(request_id),
            scope=MODELS_SCOPE,
            address=self._address(incoming),
        )
        await self._permit(identity, question, outgoing)
        patterns = identity.record.models
        mine = {name: model for name, model in offer.models.items() if model.routes and model_allowed(name, patterns)}
        wanted = path.removeprefix(MODELS_PATH).removeprefix("/")
        if not wanted:
            listing = {"object": "list", "data": [describe(mine[name]) for name in sorted(mine)]}
            await outgoing.whole(200, orjson.dumps(listing))
        elif wanted in mine:
            await outgoing.whole(200, orjson.dumps(describe(mine[wanted])))
        else:
            raise refusal(Verdict.MODEL_NOT_FOUND, wanted)

    async def _key(self, identity: Identity, incoming: Incoming, outgoing: Outgoing, request_id: UUID) -> None:
        now = moment_of(request_id)
        question = Question(request_id=str(request_id), scope=None, address=self._address(incoming))
        limits = await self._permit(identity, question, outgoing)
        standing = await self.hotstate.standing(identity.record, now)
        await outgoing.whole(200, orjson.dumps(describe_key(identity, limits, standing)))

    def _address(self, incoming: Incoming) -> str | None:
        return incoming.address(settings.ALLAUTH_TRUSTED_PROXY_COUNT)

    async def _permit(self, identity: Identity, question: Question, outgoing: Outgoing) -> Iterable[LimitState]:
        """Return the limits where the verdict is `allowed`; raise the refusal otherwise."""
        try:
            decision = await self.decider.decide(identity, question)
        except Unreachable:
            self.leases.doubtful.append((identity.record.org, question.request_id))
            raise
        outgoing.rate_headers = rate_headers(decision.limits)
        if decision.verdict is not Verdict.ALLOWED:
            raise refusal_of(decision, question)
        return decision.limits


def _usage_log(folder: Path) -> UsageLog:
    return UsageLog(
        folder,
        largest_bytes=settings.GATEWAY_SEGMENT_BYTES,
        oldest_seconds=settings.GATEWAY_SEGMENT_SECONDS,
    )


def describe(model: OfferedModel) -> dict[str, object]:
    """A model as OpenAI's clients know it."""
    return {"id": model.public_id, "object": "model", "created": model.created, "owned_by": model.owned_by}
