"""Events in two segments, segments delivered twice, all shuffled, while workers and engines are killed at work."""

import json
import random
import threading
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import redis

from devstack import envfile
from tests.cast import raw, usage_line
from tests.devstack.stack import Stack, command
from tests.e2e.books import assert_settled, query
from tests.e2e.faults import Faults
from tests.waiting import wait_until

SOURCE = "gw-chaos"
# Of each kind one must hit, or more is shipped; the last column is how many seconds its moment is waited for.
STRIKES = [
    ("worker", "posting", 15),
    ("worker", "publish", 15),
    ("postgres", "posting", 15),
    ("valkey", "publish", 15),
]
WORLD = """
import json, sys
import django
django.setup()
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, make_user
owner = make_user("chaos@example.com")
make_model("chaos", prices={"input_tokens": (1, 1)})
keys = []
for number in range(int(sys.argv[1])):
    organization = make_organization(f"Chaos {number}", owner=owner)
    give_credit(organization, DOLLAR)
    keys += [(make_key(organization)[0].public_id, organization.public_id) for _ in range(2)]
print(json.dumps(keys))
"""


@dataclass
class World:
    """Keys with their organizations, and each event's line once."""

    keys: list[tuple[str, str]]
    lines: list[dict[str, Any]]

    def spent(self) -> dict[str, int]:
        """Organization → nano-dollars."""
        owners = dict(self.keys)
        spent = dict.fromkeys(owners.values(), 0)
        for line in self.lines:
            spent[owners[line["key"]]] += line["usage"]["input_tokens"]
        return spent


def make_world(stack: Stack, *, organizations: int, events: int) -> World:
    keys = json.loads(command(stack, "-c", WORLD, str(organizations)).splitlines()[-1])
    chance = random.Random(11)
    at = datetime.now(UTC) - timedelta(minutes=1)
    lines = []
    for seq in range(1, events + 1):
        key: Any = SimpleNamespace(public_id=chance.choice(keys)[0])
        usage = {"input_tokens": chance.randrange(1, 100)}
        lines.append(usage_line(key, "chaos", at=at, seq=seq, source=SOURCE, usage=usage))
    return World([(key, organization) for key, organization in keys], lines)


@dataclass
class Twice:
    """What was shipped twice: events in another segment, and segments, by how the second delivery was answered."""

    events_in_another_segment: int = 0
    segments_again: int = 0
    segments_again_that_were_posted: int = 0


def deliveries(world: World, lines_each: int, *, seed: int) -> list[tuple[str, bytes]]:
    """Every event in two segments beside others than before; every segment, identity and content, twice; shuffled."""
    chance = random.Random(seed)
    contents = []
    for _ in range(2):
        shuffled = chance.sample(world.lines, len(world.lines))
        contents += [raw(*shuffled[first : first + lines_each]) for first in range(0, len(shuffled), lines_each)]
    made = [(f"{SOURCE}.{uuid4()}", content) for content in contents]
    return chance.sample(made * 2, len(made) * 2)


def ship_under_fire(
    stack: Stack, delivered: list[tuple[str, bytes]], faults: Faults, twice: Twice, rounds: int
) -> None:
    shipping = threading.Thread(target=ship, args=(stack, delivered, twice))
    shipping.start()
    for _ in range(rounds):
        for service, doing, seconds in STRIKES:
            faults.strike(service, doing, seconds=seconds)
    shipping.join(300)
    assert not shipping.is_alive()


def ship(stack: Stack, delivered: list[tuple[str, bytes]], twice: Twice) -> None:
    """Ship as a gateway does: again until it is answered, and twice where nobody knows."""
    credential = envfile.read(stack.var / "secrets.env")["GATEWAY_CREDENTIAL"]
    headers = {"Authorization": f"Bearer {credential}", "X-Source": SOURCE, "Content-Type": "application/x-ndjson"}
    for identity, content in delivered:
        address = f"{stack.console_url}/api/v1/usage/segments/{identity}"
        while True:
            try:
                request = urllib.request.Request(address, content, headers, method="PUT")
                with urllib.request.urlopen(request, timeout=10) as answer:
                    if answer.status == 200:
                        twice.segments_again += 1
                        twice.segments_again_that_were_posted += json.load(answer)["posted"]
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)


@pytest.mark.parametrize(
    ("events", "rounds"),
    [
        pytest.param(16_000, 1, marks=pytest.mark.timeout(240), id="short"),
        pytest.param(150_000, 8, marks=[pytest.mark.extended, pytest.mark.timeout(900)], id="long"),
    ],
)
def test_whatever_is_killed_everything_is_posted_once(
    stack: Stack, events: int, rounds: int, record_property: Any
) -> None:
    before = assert_settled(stack)
    world = make_world(stack, organizations=100, events=events)
    faults, twice, identities = Faults(stack), Twice(), set[str]()
    for number in range(10):
        delivered = deliveries(world, 2000, seed=number)
        ship_under_fire(stack, delivered, faults, twice, rounds)
        identities |= {identity for identity, _ in delivered}
        if set(faults.hits) == {f"{service} in {doing}" for service, doing, _ in STRIKES}:
            break
    wait_until(stack.is_ready, "everything to be ready", within=60)
    # Once more, now that they are posted: an answer that got lost.
    assert_settled(stack, seconds=180)
    ship(stack, delivered, twice)

    charged = assert_settled(stack, seconds=180) - before
    spent = world.spent()
    assert charged == sum(spent.values())
    assert query(stack, "SELECT count(*) FROM billing_usageevent WHERE source = %s", SOURCE) == [(events,)]
    # Every segment once, however often it came; every event in two of them, and new in one.
    (sums,) = query(stack, "SELECT count(*), sum(new), sum(lines) FROM billing_segment WHERE source = %s", SOURCE)
    times = len(identities) * 2000 // events
    assert sums == (len(identities), events, times * events)
    assert twice.segments_again >= len(identities) + len(delivered)
    assert twice.segments_again_that_were_posted >= len(delivered)
    twice.events_in_another_segment = (times - 1) * events
    balances = dict(
        query(stack, "SELECT public_id, nanos FROM billing_balance JOIN accounts_organization ON id = organization_id")
    )
    assert {organization: 10**9 - balances[organization] for organization in spent} == spent
    valkey: Any = redis.Redis.from_url(stack.valkey_url)
    for organization in spent:
        wait_until(
            lambda name=organization: int(valkey.hget(f"km:{{{name}}}", "balance") or 0) == balances[name],
            "Valkey to have the balance",
            within=30,
        )
    proofs = json.loads(command(stack, "manage.py", "prove", "--json").splitlines()[-1])
    assert [proof for proof in proofs["proofs"] if not proof["ok"]] == []
    record_property("faults that hit", dict(faults.hits))
    record_property("delivered twice", asdict(twice))
    assert set(faults.hits) == {f"{service} in {doing}" for service, doing, _ in STRIKES}
