"""Whichever of an alias's models comes to answer, what was set aside pays for it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from billing.rate_card import RateCard, Timeline
from billing.rating import charge
from billing.tariff import Tariff, UnitPrice
from catalog.models import Choice
from gateway.asking.asked import read
from gateway.asking.endpoints import CHAT
from gateway.deciding.keyring import Identity
from gateway.offering import choosing
from gateway.offering.offer import Offer, OfferedAlias, OfferedModel, OfferedRoute
from gateway.upstreams.latency import Latencies
from hotstate.records import KeyRecord, OrganizationRecord
from tests.cast import LONG_AGO
from tests.gateway.test_asked import MODEL

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ORGANIZATION = OrganizationRecord(org="org_1", version=1, suspended=False, overdraft_nanos=0)
KEY = KeyRecord(
    key="key_1",
    org="org_1",
    version=1,
    revoked=False,
    expires_ms=None,
    scopes=frozenset({"chat"}),
    models=frozenset(),
    secrets={},
)
IDENTITY = Identity("digest", KEY, ORGANIZATION)
amounts = st.integers(0, 10**6)


def offer(tariffs: list[Tariff], *, choice: str = Choice.ORDER) -> Offer:
    """Models m0, m1, … by their prices, and the alias `any` for all of them."""
    models: dict[str, OfferedModel] = {}
    prices = {}
    for place, tariff in enumerate(tariffs):
        name = f"m{place}"
        models[name] = replace(MODEL, pk=place, public_id=name, routes=(OfferedRoute(place, "", "", ""),))
        timeline = Timeline([], [])
        timeline.add(LONG_AGO, tariff)
        prices[place] = {None: timeline}
    alias = OfferedAlias("any", choice, tuple(models), 0)
    return Offer(models, RateCard(prices), {"any": alias})  # type: ignore[arg-type]


def candidates(found: Offer, **fields: Any) -> tuple[choosing.Candidate, ...]:
    body = {"model": "any", "messages": [{"role": "user", "content": "hello"}], **fields}
    wanted = choosing.wanted_of(read(orjson.dumps(body), CHAT), CHAT, found, NOW)
    able, error = wanted.found(found, NOW, IDENTITY, ORGANIZATION)
    assert error is None
    return wanted.in_turn(able, CHAT, Latencies())


@given(
    st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=5),
    st.integers(1, 3),
    st.integers(1, 1_000),
    st.sampled_from(list(Choice)),
    st.data(),
)
def test_the_hold_covers_whichever_answers(
    priced: list[tuple[int, int, int]], n: int, most: int, choice: str, data: st.DataObject
) -> None:
    tariffs = [
        Tariff(place, [UnitPrice("input_tokens", a, 3), UnitPrice("output_tokens", b, 7), UnitPrice("images", c)])
        for place, (a, b, c) in enumerate(priced)
    ]
    found = candidates(offer(tariffs, choice=choice), n=n, max_tokens=most)
    assert {one.model.pk for one in found} == set(range(len(priced)))
    hold = max(one.hold_nanos(CHAT) for one in found)
    answering = data.draw(st.sampled_from(found))
    used = {
        "requests": 1,
        "input_tokens": data.draw(st.integers(0, 50)),
        "output_tokens": data.draw(st.integers(0, most * n)),
        "images": data.draw(st.integers(0, answering.model.most_images * n)),
    }
    assert charge(used, *answering.priced) <= hold


@given(st.lists(st.tuples(amounts, amounts), min_size=2, max_size=5), st.integers(1, 1_000))
def test_by_price_the_cheapest_for_this_request_comes_first(priced: list[tuple[int, int]], most: int) -> None:
    tariffs = [
        Tariff(place, [UnitPrice("input_tokens", a), UnitPrice("output_tokens", b)])
        for place, (a, b) in enumerate(priced)
    ]
    found = candidates(offer(tariffs, choice=Choice.PRICE), max_tokens=most)
    size = found[0].asked.estimated_input()
    costs = [size * priced[one.model.pk][0] + most * priced[one.model.pk][1] for one in found]
    assert costs == sorted(costs)
