"""May this key make this request now? Address, scope and model are judged here, the rest by one script in Valkey."""

from dataclasses import dataclass
from datetime import datetime

from accounts import secrets
from gateway.keyring import Identity, Keyring
from gateway.verdicts import Verdict
from hotstate.errors import Unreachable
from hotstate.fast import HotState

ROUNDS = 4


@dataclass(frozen=True)
class Question:
    """What is asked for. `model` is the public id, None where the endpoint needs none; `offered` whether it is sold.

    `hold_nanos` is the worst case of what the request may cost; None is a question only, which holds nothing.
    """

    request_id: str
    scope: str
    model: str | None
    offered: bool
    hold_nanos: int | None
    now: datetime


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

    async def decide(self, identity: Identity, question: Question) -> Verdict:
        """The verdict; where it is `allowed`, the hold is in place. Raises Unreachable."""
        now_ms = int(question.now.timestamp() * 1000)
        for _ in range(ROUNDS):
            answer = await self._hotstate.decide(
                identity.record,
                question.request_id,
                found=judge(identity, question, now_ms),
                hold_nanos=question.hold_nanos,
                now_ms=now_ms,
                lease_ms=self._lease_ms,
            )
            match answer[0]:
                case b"stale":
                    identity.record = self._hotstate.parse_record(answer[1])
                    if identity.digest not in identity.record.secrets:
                        return Verdict.UNKNOWN
                case b"missing":
                    if not await self._keyring.reload(identity):
                        return Verdict.UNKNOWN
                case verdict:
                    return Verdict(verdict.decode())
        raise Unreachable("the key's record keeps changing")


def judge(identity: Identity, question: Question, now_ms: int) -> str:
    """What can be said of the request by the key's record alone: '' or a verdict."""
    record = identity.record
    if identity.secret_lapsed(now_ms):
        return Verdict.EXPIRED
    if question.scope not in record.scopes:
        return Verdict.SCOPE_MISSING
    if question.model is not None:
        allowed = not record.models or question.model in record.models
        if not question.offered or not allowed:
            return Verdict.MODEL_NOT_FOUND
    return ""
