"""May this key make this request now? Address, scope and model are judged here, the rest by one script in Valkey."""

from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from accounts import secrets
from billing.rate_card import Priced
from billing.terms import terms_of
from gateway import errors, metrics
from gateway.deciding import matching
from gateway.deciding.journal import Journal
from gateway.deciding.keyring import Identity, Keyring
from gateway.deciding.recording import recorded, turned_away
from gateway.deciding.strangers import TooManyStrangers
from gateway.deciding.verdicts import Verdict
from gateway.models import GatewayCredential
from hotstate.errors import Unreachable
from hotstate.fast import HotState
from hotstate.records import OrganizationRecord

if TYPE_CHECKING:
    from gateway.offering.choosing import Candidate

ROUNDS = 4
VERDICTS = {verdict.value.encode(): verdict for verdict in Verdict}
# Of what this gateway itself answers; others are named by their credential's number.
OURSELVES = "-"
STRANGERS = "unknown API keys from your address"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. `model` is the public id, None where the endpoint needs none; `offered` whether it is sold.

    `scope` is None for what every key may do.

    `hold_nanos` is the worst case of what the request may cost; None is a question only, which takes nothing but, where
    it `counts`, a request of the limits.
    `tokens` is an estimate, corrected when the request is settled. `address` is the client's, None where unknown.
    `face` is by which way it was asked, `holder` who will settle it. `dry` asks what would be said, and takes nothing.
    `priced` is what it is priced by. `candidates` may answer it, where this gateway runs it; `also_known_as` are other
    names of what is asked for (an alias's models, a model's aliases): one of all names has to be allowed. What depends
    on the organization's terms is asked `anew` where they have changed.
    """

    request_id: str
    scope: str | None
    model: str | None = None
    offered: bool = True
    hold_nanos: int | None = None
    counts: bool = False
    tokens: int = 0
    address: str | None = None
    face: str = "api"
    holder: str = OURSELVES
    dry: bool = False
    priced: Priced | None = None
    candidates: "tuple[Candidate, ...]" = ()
    also_known_as: tuple[str, ...] = ()
    anew: "Callable[[OrganizationRecord], Question] | None" = None


class LimitState(msgspec.Struct, frozen=True):
    """A limit as it is after the decision: what is left, and in how many milliseconds all of it is back."""

    name: str
    most: int
    left: int
    back_ms: int


class Decision(msgspec.Struct, frozen=True):
    """The verdict; which budget or limit bound; when to try again (-1: never, None: nothing to wait for).

    `at` is when it was made, None where nothing but the record was asked; `question` is what was asked in the end.
    """

    verdict: Verdict
    bound: str = ""
    wait_ms: int | None = None
    limits: tuple[LimitState, ...] = ()
    seen: "Seen | None" = None
    at: datetime | None = None
    question: Question | None = None


class Seen(msgspec.Struct, frozen=True):
    """The fields in Valkey by which the script judged: of the organization, the API key, and their counters."""

    organization: dict[str, str]
    api_key: dict[str, str]
    counters: dict[str, str]


class Decider:
    def __init__(self, hotstate: HotState, keyring: Keyring, journal: Journal, *, lease_seconds: int) -> None:
        self._hotstate = hotstate
        self._keyring = keyring
        self._journal = journal
        self._lease_ms = lease_seconds * 1000

    async def identify(
        self,
        secret: str,
        request_id: UUID,
        *,
        address: str | None,
        face: str = "api",
        asking: GatewayCredential | None = None,
    ) -> Identity | Decision:
        """Whose secret that is, shown by a client of that address, perhaps to another gateway.

        Raises Unreachable, and ApiError where too many such questions wait.
        """
        if not self._keyring.has(secret) and not secrets.is_well_formed(secret):
            refused = Decision(Verdict.MALFORMED)
        else:
            # Where a gateway doesn't tell its clients' addresses, its clients are as one.
            shown_by = address or (f"gateway {asking.pk}" if asking else None)
            try:
                identity = await self._keyring.identify(secret, shown_by, asking)
            except TooManyStrangers as error:
                refused = Decision(Verdict.RATE_LIMITED, STRANGERS, error.wait_ms)
            else:
                if identity:
                    return identity
                refused = Decision(Verdict.UNKNOWN)
        metrics.decided(refused.verdict, face)
        self._journal.add(turned_away(refused, request_id, address=address, face=face))
        return refused

    async def decide(self, identity: Identity, question: Question) -> Decision:
        """Where the verdict is `allowed`, the hold is in place.

        Raises Unreachable, and ApiError where a gateway brought the id of another request.
        """
        start = perf_counter()
        decision = await self._decide(identity, question)
        metrics.decided(decision.verdict, question.face, seconds=perf_counter() - start)
        if decision.seen and not question.dry:
            self._journal.add(recorded(identity, decision.question or question, decision))
        return decision

    async def _decide(self, identity: Identity, question: Question) -> Decision:
        tell = question.dry or self._journal.samples(question.request_id)
        for _ in range(ROUNDS):
            # Not the request's id: a body that was slow to come, or a look-up, has made that old.
            now = datetime.now(UTC)
            answer = await self._hotstate.decide(
                identity.record,
                identity.organization,
                question.request_id,
                found=judge(identity, question, now),
                hold_nanos=question.hold_nanos,
                tokens=question.tokens,
                now=now,
                lease_ms=self._lease_ms,
                holder=question.holder,
                counts=question.counts,
                dry=question.dry,
                tell=tell,
            )
            match answer[0]:
                case b"stale" | b"missing":
                    if not self._renewed(identity, *answer[1:]) and not await self._keyring.reload(identity):
                        return Decision(Verdict.UNKNOWN)
                    if identity.digest not in identity.record.secrets:
                        return Decision(Verdict.UNKNOWN)
                    if question.anew:
                        question = question.anew(identity.organization)
                case b"used":
                    raise errors.REQUEST_ID_USED
                case _:
                    return _decision(answer, now, question)
        raise Unreachable("the key's record keeps changing")

    def _renewed(self, identity: Identity, key: bytes | None = None, organization: bytes | None = None) -> bool:
        """Take the records that Valkey has. False where it hasn't got them, or came back with an older state:
        PostgreSQL knows better."""
        if key is None or organization is None:
            return False
        records = self._hotstate.parse_record(key), self._hotstate.parse_organization(organization)
        if records[0].version < identity.record.version or records[1].version < identity.organization.version:
            return False
        identity.record, identity.organization = records
        return True


def judge(identity: Identity, question: Question, now: datetime) -> str:
    """What can be said of the request by the key's and the organization's record alone: '' or a verdict."""
    record = identity.record
    if identity.secret_lapsed(int(now.timestamp() * 1000)):
        return Verdict.EXPIRED
    if record.networks and not matching.in_networks(question.address, record.networks):
        return Verdict.ADDRESS_NOT_ALLOWED
    if question.scope is not None and question.scope not in record.scopes:
        return Verdict.SCOPE_MISSING
    if question.model is None:
        return ""
    names = (question.model, *question.also_known_as)
    if (
        question.offered
        and matching.any_allowed(names, record.models)
        and matching.any_allowed(names, terms_of(identity.organization, now).models)
    ):
        return ""
    return Verdict.MODEL_NOT_FOUND


def _decision(answer: list[Any], now: datetime, question: Question) -> Decision:
    verdict, bound, wait_ms, states, *seen = answer
    limits = tuple(
        LimitState(states[at].decode(), int(states[at + 1]), int(states[at + 2]), int(states[at + 3]))
        for at in range(0, len(states), 4)
    )
    return Decision(
        VERDICTS[verdict],
        bound.decode(),
        int(wait_ms) or None,
        limits,
        Seen(*(_fields(flat) for flat in seen[0])) if seen else None,
        now,
        question,
    )


def _fields(flat: list[bytes]) -> dict[str, str]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {name.decode(): value.decode() for name, value in pairs}
