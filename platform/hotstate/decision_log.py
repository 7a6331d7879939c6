"""What decisions saw, kept for a while so that they can be explained: a bounded stream per organization in Valkey.

Every refusal is there, and a sample of what was allowed. It is for people's questions; nothing is built on it, and a
Valkey that is emptied loses it.
"""

from datetime import datetime
from itertools import chain, islice
from typing import Any
from uuid import UUID

import msgspec

from hotstate import names
from hotstate.client import reaching_valkey

# Where the secret is nobody's.
NOBODY = "nobody"
# The entries' times are Valkey's, a request's is its gateway's, and entries are written in batches.
BEFORE_MS, AFTER_MS = 60_000, 600_000
ASKED_AT_ONCE = 500


class DecisionRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One decision: what was asked, what the key's record said, what the script saw. Amounts are nano-dollars.

    `more_models` and `more_networks` the key had, than are kept here; its organization's terms allow
    `organization_models`. `limits` are name, limit, what was left, milliseconds until all is back. `organization`,
    `api_key` and `counters` are Valkey's fields as they were; an API key's counters begin with `key.`.
    """

    id: str
    at_ms: int
    verdict: str
    face: str
    bound: str = ""
    wait_ms: int | None = None
    org: str = ""
    key: str = ""
    secret: str = ""
    secret_lapses_ms: int | None = None
    scope: str | None = None
    model: str | None = None
    offered: bool = True
    address: str | None = None
    hold_nanos: int | None = None
    tokens: int = 0
    scopes: list[str] = []
    models: list[str] = []
    networks: list[str] = []
    more_models: int = 0
    organization_models: list[str] = []
    more_organization_models: int = 0
    more_networks: int = 0
    limits: list[tuple[str, int, int, int]] = []
    organization: dict[str, str] = {}
    api_key: dict[str, str] = {}
    counters: dict[str, str] = {}


_decoder = msgspec.json.Decoder(DecisionRecord)


def stream_of(org: str) -> str:
    return names.organization_hash(org or NOBODY) + ":decisions"


def find(request_id: UUID, org: str | None = None) -> DecisionRecord | None:
    """The decision on a request; of one organization, or of anybody where `org` is None. Raises Unreachable."""
    at_ms = request_id.int >> 80
    wanted = str(request_id)
    with reaching_valkey() as valkey:
        orgs = iter([org]) if org else (listed.decode() for listed in valkey.sscan_iter(names.DECIDED, count=1000))
        while some := list(islice(orgs, ASKED_AT_ONCE)):
            pipeline = valkey.pipeline(transaction=False)
            for one in some:
                pipeline.xrange(stream_of(one), max(0, at_ms - BEFORE_MS), at_ms + AFTER_MS)
            for _, fields in chain.from_iterable(pipeline.execute()):
                if fields[b"id"].decode() == wanted:
                    return _decoder.decode(fields[b"record"])
    return None


def list_decided() -> None:
    """Take from the list those of whom nothing is kept any more. Raises Unreachable."""
    with reaching_valkey() as valkey:
        orgs = (listed.decode() for listed in valkey.sscan_iter(names.DECIDED, count=1000))
        while some := list(islice(orgs, ASKED_AT_ONCE)):
            pipeline = valkey.pipeline(transaction=False)
            for one in some:
                pipeline.exists(stream_of(one))
            gone = [one for one, kept in zip(some, pipeline.execute(), strict=True) if not kept]
            if gone:
                valkey.srem(names.DECIDED, *gone)


def newest_refusals(org: str, count: int) -> list[DecisionRecord]:
    """An organization's last refusals, the newest first. Raises Unreachable."""
    with reaching_valkey() as valkey:
        entries: Any = valkey.xrevrange(stream_of(org), count=10 * count)
    records = (_decoder.decode(fields[b"record"]) for _, fields in entries)
    return list(islice((record for record in records if record.verdict != "allowed"), count))


def oldest_ms(now: datetime, days: int) -> int:
    """Unix milliseconds before which entries go."""
    return int(now.timestamp() * 1000) - days * 86_400_000
