"""Which state of Valkey this is. Each loss of state, or chance of one, begins a new era.

One hash says which era it is, in which run of the server it began, whether decisions are made in it, and which gateways
have told their holds. What is loaded from PostgreSQL carries the era; a decision believes nothing that doesn't.
"""

from datetime import datetime
from typing import Any, NamedTuple

import redis
import uuid_utils

from hotstate import names, scripts
from hotstate.errors import LostError

SERVING = "serving"
FIELDS = ("id", "run", "state", "begun_ms", "published")


class Era(NamedTuple):
    """`published` says that all records were published in it."""

    id: str
    run: str
    state: str
    begun_ms: int
    published: bool

    @property
    def serving(self) -> bool:
        return self.state == SERVING


def parse(values: Any) -> Era | None:
    """From what HMGET gives of FIELDS."""
    if values[0] is None:
        return None
    era, run, state, begun_ms, published = ((value or b"").decode() for value in values)
    return Era(era, run, state, int(begun_ms), published == "1")


def read(valkey: redis.Redis) -> Era | None:
    """The era that Valkey says it is in; None where it was emptied."""
    return parse(valkey.hmget(names.ERA, *FIELDS))


def run_of(valkey: redis.Redis) -> str:
    """Which run of the server answers: another one may have lost what this one was told."""
    return str(valkey.info("server")["run_id"])


def begin(valkey: redis.Redis, after: Era | None, run: str, now: datetime) -> None:
    """Begin an era, unless another process did so after that one."""
    arguments: list[str | int] = [after.id if after else "", str(uuid_utils.uuid7()), run, int(now.timestamp() * 1000)]
    valkey.eval(scripts.BEGIN_ERA, 1, names.ERA, *arguments)


def note(valkey: redis.Redis, era: str, field: str, value: str) -> None:
    """Note something about an era. Raises LostError where it is over."""
    if not valkey.eval(scripts.NOTE_ERA, 1, names.ERA, era, field, value):
        raise LostError("Valkey has lost its state")


def answer(valkey: redis.Redis, era: str, gateway: str) -> None:
    """Note that this gateway has told its holds. Raises LostError where the era is over."""
    note(valkey, era, f"answer:{gateway}", "1")


def answered(valkey: redis.Redis, gateways: set[str]) -> bool:
    """Whether all these have told their holds."""
    fields = [f"answer:{gateway}" for gateway in sorted(gateways)]
    return not fields or all(valkey.hmget(names.ERA, *fields))


def require(valkey: redis.Redis, era: str) -> None:
    """Raises LostError where it isn't this era any more."""
    if valkey.hget(names.ERA, "id") != era.encode():
        raise LostError("Valkey has lost its state")
