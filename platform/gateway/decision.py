"""May this key make this request now? Address, scope and model are judged here, the rest by one script in Valkey."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts import secrets
from gateway import matching
from gateway.keyring import Identity, Keyring
from gateway.verdicts import Verdict
from hotstate.errors import Unreachable
from hotstate.fast import HotState

ROUNDS = 4


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked for. `model` is the public id, None where the endpoint needs none; `offered` whether it is sold.

    `scope` is None for what every key may do.

    `hold_nanos` is the worst case of what the request may cost; None is a question only, which takes nothing.
    `tokens` is an estimate, corrected when the request is settled. `address` is the client's, None where unknown.
    """

    request_id: str
    now: datetime
    scope: str | None
    model: str | None = None
    offered: bool = True
    hold_nanos: int | None = None
    tokens: int = 0
    address: str | None = None


@dataclass(frozen=True)
class LimitState:
    """A limit as it is after the decision: what is left, and in how many milliseconds all of it is back."""

    name: str
    most: int
    left: int
    back_ms: int


@dataclass(frozen=True)
class Decision:
    """The verdict; which budget or limit bound; when to try again (-1: never, None: nothing to wait for)."""

    verdict: Verdict
    bound: str = ""
    wait_ms: int | None = None
    limits: tuple[LimitState, ...] = ()


class Decider:
    def __init__(self, hotstate: HotState, keyring: Keyring, *, lease_seconds: int) -> None:
        self._hotstate = hotstate
        self._keyring = keyring
        self._lease_ms = lease_seconds * 1000

    async def identify(self, secret: str) -> Identity | Verdict:
        """Whose secret that is. Raises Unreachable."""
        if not secrets.is_well_formed(secret):
            return Verdict.MALFORMED
        return await self._keyring.identify(secret) or Verdict.UNKNOWN

    async def decide(self, identity: Identity, question: Question) -> Decision:
        """Where the verdict is `allowed`, the hold is in place. Raises Unreachable."""
        for _ in range(ROUNDS):
            answer = await self._hotstate.decide(
                identity.record,
                question.request_id,
                found=judge(identity, question),
                hold_nanos=question.hold_nanos,
                tokens=question.tokens,
                now=question.now,
                lease_ms=self._lease_ms,
            )
            match answer[0]:
                case b"stale":
                    record = self._hotstate.parse_record(answer[1])
                    if record.version < identity.record.version:
                        # Valkey came back with an older state: PostgreSQL knows better.
                        if not await self._keyring.reload(identity):
                            return Decision(Verdict.UNKNOWN)
                        continue
                    identity.record = record
                    if identity.digest not in record.secrets:
                        return Decision(Verdict.UNKNOWN)
                case b"missing":
                    if not await self._keyring.reload(identity):
                        return Decision(Verdict.UNKNOWN)
                case _:
                    return _decision(answer)
        raise Unreachable("the key's record keeps changing")


def judge(identity: Identity, question: Question) -> str:
    """What can be said of the request by the key's record alone: '' or a verdict."""
    record = identity.record
    if identity.secret_lapsed(int(question.now.timestamp() * 1000)):
        return Verdict.EXPIRED
    if record.networks and not matching.in_networks(question.address, record.networks):
        return Verdict.ADDRESS_NOT_ALLOWED
    if question.scope is not None and question.scope not in record.scopes:
        return Verdict.SCOPE_MISSING
    if question.model is not None and not (question.offered and matching.model_allowed(question.model, record.models)):
        return Verdict.MODEL_NOT_FOUND
    return ""


def _decision(answer: list[Any]) -> Decision:
    verdict, *rest = answer
    if not rest:
        return Decision(Verdict(verdict.decode()))
    bound = rest[0].decode()
    wait_ms = int(rest[1]) if len(rest) > 1 and bound else None
    states = rest[2:]
    limits = tuple(
        LimitState(states[at].decode(), int(states[at + 1]), int(states[at + 2]), int(states[at + 3]))
        for at in range(0, len(states), 4)
    )
    return Decision(Verdict(verdict.decode()), bound, wait_ms, limits)
