"""The gateway's side of the hot state: one connection, many requests in flight, one script call per decision."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

import hiredis
import msgspec

from hotstate import decision_log, eras, names, scripts, standing, stored
from hotstate.eras import Era
from hotstate.errors import LostError, Unreachable
from hotstate.listing import Listing
from hotstate.pipelining import Connection, Pipelining, Reply, Word, packed
from hotstate.publish import clamp, clamp_hold
from hotstate.records import KeyRecord, OrganizationRecord, Windows
from hotstate.standing import Standing
from hotstate.stored import Stored

_key_record = msgspec.json.Decoder(KeyRecord)
_organization_record = msgspec.json.Decoder(OrganizationRecord)


class _Script:
    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_DECIDE = _Script(scripts.DECIDE)
_SETTLE = _Script(scripts.SETTLE)
_RELEASE = _Script(scripts.RELEASE)
_RENEW = _Script(scripts.RENEW)
_GROW = _Script(scripts.GROW)


class Seen(NamedTuple):
    """What Valkey said of itself: the era, and whether this run of the server has it from its beginning."""

    connection: Connection
    era: Era | None
    sound: bool


class HotState:
    """Valkey as the inference path uses it. Every method raises Unreachable where there is no answer in time.

    Decisions are made in an era, and on the connection on which it was seen: another one may lead to another state.
    """

    def __init__(self, url: str, *, on_failure: Callable[[], None] = lambda: None) -> None:
        self._valkey = Pipelining(url)
        self._on_failure = on_failure
        self._ground: Seen | None = None
        self._listing = Listing()

    async def close(self) -> None:
        await self._valkey.close()

    @property
    def era(self) -> str | None:
        """The era in which decisions are made; None while there can't be any."""
        return self._ground.era.id if self._ground and self._ground.era else None

    async def look(self) -> Seen:
        """Ask which era it is."""
        connection = await self._valkey.connection()
        if not connection.run:
            info: Any = _checked(await connection.send(packed(("INFO", "server"))))
            connection.run = info.decode().partition("run_id:")[2].split()[0]
        era = eras.parse(_checked(await connection.send(packed(("HMGET", names.ERA, *eras.FIELDS)))))
        return Seen(connection, era, era is not None and era.run == connection.run)

    async def join(self) -> None:
        """Make decisions in the era of this moment. For who holds nothing. Raises LostError where there is none."""
        seen = await self.look()
        if not seen.sound or seen.era is None or not seen.era.serving:
            raise LostError("Valkey's state isn't recovered yet")
        self.stand_on(seen)

    def stands_on(self, seen: Seen) -> bool:
        """Whether decisions are made in what was seen."""
        ground = self._ground
        return ground is not None and seen.sound and self._place(ground) == self._place(seen)

    @staticmethod
    def _place(seen: Seen) -> tuple[Connection, str]:
        return seen.connection, seen.era.id if seen.era else ""

    def stand_on(self, seen: Seen | None) -> None:
        """Make decisions in this era; in none."""
        self._ground = seen

    async def decide(
        self,
        record: KeyRecord,
        organization: OrganizationRecord,
        request_id: str,
        *,
        found: str,
        hold_nanos: int | None,
        tokens: int,
        now: datetime,
        lease_ms: int,
        holder: str,
        counts: bool = False,
        dry: bool = False,
        tell: bool = False,
    ) -> list[Any]:
        """Ask the script; first comes a verdict, `missing`, `used` or `stale`. Then the records in force follow, the
        key's and the organization's, to be parsed.

        Without `hold_nanos` it takes nothing but, where it `counts`, a request of the limits. `dry` takes nothing;
        `tell` wants to know what was seen, whatever the verdict.
        """
        takes = "take" if hold_nanos is not None else "count" if counts else "free"
        mode = takes if not dry else "free" if hold_nanos is None else "dry"
        now_ms, windows, hold = int(now.timestamp() * 1000), Windows.at(now), clamp_hold(hold_nanos or 0)
        asked = (now_ms, request_id, record.version, found, hold, lease_ms, record.key, tokens)
        arguments = (*asked, *windows, mode, "1" if tell else "")
        keys = names.decision_keys(record.org, record.key)
        if mode == "take":
            await self._list(names.HOLDING, record.org)
        answer: Any = await self._run_in_era(_DECIDE, keys, *arguments, after_era=(organization.version, holder))
        return cast(list[Any], answer)

    async def grow(self, record: KeyRecord, request_id: str, nanos: int, *, now: datetime) -> bool | None:
        """Set so much aside in all for a running request. None where the key has to be loaded first.

        False where balance or budget don't allow it, or the hold is gone.
        """
        keys = names.decision_keys(record.org, record.key)
        grown = await self._run_in_era(_GROW, keys, request_id, clamp_hold(nanos), *Windows.at(now))
        return None if grown == -1 else bool(grown)

    async def settle(
        self, org: str, key: str, request_id: str, charge_nanos: int, *, taken: int, elapsed_ms: int
    ) -> bool:
        """Turn an open hold into the exact charge, and the tokens estimated into those taken. False: there is none.

        `elapsed_ms` is how long ago the request was admitted.
        """
        keys = names.decision_keys(org, key)
        asked = (request_id, clamp(charge_nanos), taken, max(0, elapsed_ms))
        return bool(await self._run(_SETTLE, keys, *asked))

    async def holder(self, org: str, request_id: str) -> tuple[str, str]:
        """The API key of a request's hold, and who holds; empty where nothing is held, or nobody knows any more."""
        hold = await self._call("HGET", names.holds_of(org), request_id)
        _, _, key, holder, *_ = [*hold.decode().split(":"), ""] if isinstance(hold, bytes) else [""] * 4
        return key, holder

    async def release(self, org: str, key: str, request_id: str, *, elapsed_ms: int) -> bool:
        """Take away the hold of a request that will have no event, and give the tokens back that were estimated.

        `elapsed_ms` is how long ago the request was admitted. False: there is no open hold.
        """
        return bool(await self._run(_RELEASE, names.decision_keys(org, key), request_id, max(0, elapsed_ms)))

    async def renew(self, org: str, request_ids: list[str], until_ms: int) -> None:
        """Put off the lapse of open holds."""
        await self._run(_RENEW, names.decision_keys(org), until_ms, *request_ids)

    async def find(self, digest: str) -> KeyRecord | None:
        """Look a secret's digest up in the index."""
        where = await self._call("GET", names.digest_index(digest))
        if not isinstance(where, bytes):
            return None
        org, key = where.decode().split(" ")
        return await self.record(org, key)

    async def record(self, org: str, key: str) -> KeyRecord | None:
        """Look a key up by its ids."""
        raw = await self._call("HGET", names.key_hash(org, key), "record")
        return self.parse_record(raw) if isinstance(raw, bytes) else None

    async def organization(self, org: str) -> OrganizationRecord | None:
        """Look an organization up by its id."""
        raw = await self._call("HGET", names.organization_hash(org), "record")
        return self.parse_organization(raw) if isinstance(raw, bytes) else None

    async def standing(self, record: KeyRecord, now: datetime) -> Standing:
        """How much of a key's limits and budgets is used."""
        asked = standing.asked(record.org, record.key)
        answers: Any = await asyncio.gather(*(self._call("HMGET", name, *fields) for name, fields in asked))
        return standing.told_by(answers, now)

    async def bind(self, org: str, kind: str, upstream_id: str, made: Stored, *, keep_ms: int) -> None:
        """Tell every gateway whose that is, for a while."""
        await self._call("SET", stored.name_of(org, kind, upstream_id), msgspec.json.encode(made), "PX", keep_ms)

    async def bound(self, org: str, kind: str, upstream_id: str) -> Stored | None:
        """Who made what the organization has stored, where a gateway told it lately."""
        raw = await self._call("GET", stored.name_of(org, kind, upstream_id))
        return stored.decoder.decode(raw) if isinstance(raw, bytes) else None

    async def catalog_version(self) -> int:
        """A number that grows with each change of models, routes or prices."""
        version = await self._call("GET", names.CATALOG_VERSION)
        return int(version) if isinstance(version, bytes) else 0

    async def gateways_version(self) -> bytes:
        """What changes with each change of gateways' credentials."""
        version = await self._call("GET", names.GATEWAYS_VERSION)
        return version if isinstance(version, bytes) else b""

    async def log_decisions(
        self, org: str, records: Iterable[decision_log.DecisionRecord], *, most: int, oldest_ms: int, keep_ms: int
    ) -> None:
        """Append to an organization's decisions, of which the newest `most` are kept, and none from before."""
        stream, bound = decision_log.stream_of(org), ("MAXLEN", "~", most, "*")
        await self._list(names.DECIDED, org)
        calls = [
            self._call("XADD", stream, *bound, "id", record.id, "record", msgspec.json.encode(record))
            for record in records
        ]
        calls += [self._call("XTRIM", stream, "MINID", "~", oldest_ms), self._call("PEXPIRE", stream, keep_ms)]
        await asyncio.gather(*calls)

    async def _list(self, index: str, org: str) -> None:
        """Before what is listed is there: a process that is killed in between leaves nothing that nobody finds."""
        if self._listing.wants(index, org, self.era):
            await self._call("SADD", index, org)
            self._listing.note(index, org)

    async def ping(self) -> None:
        """Return where Valkey answers."""
        await self._call("PING")

    @staticmethod
    def parse_record(raw: bytes) -> KeyRecord:
        return _key_record.decode(raw)

    @staticmethod
    @lru_cache(4096)
    def parse_organization(raw: bytes) -> OrganizationRecord:
        """The keys of an organization share what was parsed once."""
        return _organization_record.decode(raw)

    async def _run_in_era(
        self, script: _Script, keys: list[str], *arguments: Word, after_era: tuple[Word, ...] = ()
    ) -> Reply:
        try:
            ground = self._ground
            if ground is None or ground.era is None:
                raise LostError("Valkey's state isn't known to be whole")
            words = (len(keys), *keys, *arguments, ground.era.id, *after_era)
            reply = await ground.connection.send(packed(("EVALSHA", script.sha, *words)))
            if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
                reply = await ground.connection.send(packed(("EVAL", script.text, *words)))
            return _checked(reply)
        except Unreachable:
            self._on_failure()
            raise

    async def _run(self, script: _Script, keys: list[str], *arguments: Word) -> Reply:
        try:
            reply = await self._valkey.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
            if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
                # A server that was restarted knows the script again after this.
                reply = await self._valkey.call("EVAL", script.text, len(keys), *keys, *arguments)
            return _checked(reply)
        except Unreachable:
            self._on_failure()
            raise

    async def _call(self, *words: Word) -> Reply:
        try:
            return _checked(await self._valkey.call(*words))
        except Unreachable:
            self._on_failure()
            raise


def _checked(reply: Reply) -> Reply:
    """A server that loads its data, is full or is a replica can't be used: to a decision that is no answer."""
    if isinstance(reply, hiredis.ReplyError):
        raise Unreachable(str(reply)) from reply
    return reply
