"""Networks and model patterns."""

import re
from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.key_terms import network
from gateway.deciding.decision import LimitState
from gateway.deciding.matching import NO_MODEL, common, in_networks, model_allowed
from gateway.deciding.rate_headers import go_duration, rate_headers


@pytest.mark.parametrize(
    ("address", "networks", "fits"),
    [
        ("10.1.2.3", {"10.0.0.0/8"}, True),
        ("11.1.2.3", {"10.0.0.0/8"}, False),
        ("10.1.2.3", {"192.168.0.0/16", "10.1.2.3/32"}, True),
        ("2001:db8::1", {"2001:db8::/32"}, True),
        ("2001:db9::1", {"2001:db8::/32"}, False),
        ("::ffff:10.1.2.3", {"10.0.0.0/8"}, True),
        ("10.1.2.3", {"::/0"}, False),
        ("10.1.2.3", {"0.0.0.0/0"}, True),
        ("nonsense", {"0.0.0.0/0"}, False),
        ("", {"0.0.0.0/0"}, False),
        (None, {"0.0.0.0/0"}, False),
    ],
)
def test_an_address_in_a_network(address: str | None, networks: set[str], fits: bool) -> None:
    assert in_networks(address, frozenset(networks)) is fits


@pytest.mark.parametrize(
    ("model", "patterns", "fits"),
    [
        ("anything", set(), True),
        ("demo-chat", {"demo-chat"}, True),
        ("demo-chat-large", {"demo-chat"}, False),
        ("demo-chat-large", {"demo-*"}, True),
        ("openai/gpt:4", {"openai/*"}, True),
        ("xopenai/gpt", {"openai/*"}, False),
        ("a.b", {"a?b"}, False),
        ("axb", {"a.b"}, False),
        ("llama-8b-chat", {"llama-*-chat"}, True),
        ("x\ny", {"*"}, True),
        ("x", {"[x]*"}, False),
        ("a-b-c-b", {"a*b*b"}, True),
        ("a-b", {"a*b*b"}, False),
        ("abc", {"*b*"}, True),
        ("ab", {"a**b"}, True),
        # Would take longer than the universe has been there, tried every way.
        ("a" * 60, {"*a" * 30 + "*b"}, False),
    ],
)
def test_a_model_and_its_patterns(model: str, patterns: set[str], fits: bool) -> None:
    assert model_allowed(model, frozenset(patterns)) is fits


# Few bits that differ, so that networks meet, hold each other and touch.
NUMBERS = st.integers(0, 255).map(lambda low: low << 24 | low)
NETWORKS = st.builds(
    lambda number, prefix, six: network(f"{ip_address(number << 96 if six else number)}/{prefix}"),
    NUMBERS,
    st.integers(0, 32),
    st.booleans(),
)


@given(NUMBERS, st.booleans(), st.frozensets(NETWORKS, max_size=8))
def test_many_networks_are_as_each_of_them(number: int, six: bool, networks: frozenset[str]) -> None:
    address = ip_address(number << 96) if six else IPv4Address(number)
    fits = any(address in ip_network(one) for one in networks)
    assert in_networks(str(address), networks) is fits


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_a_star_is_any_text(pattern: str, model: str) -> None:
    expression = "".join(".*" if char == "*" else re.escape(char) for char in pattern)
    assert model_allowed(model, frozenset([pattern])) is bool(re.fullmatch(expression, model))


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (12, "12ms"),
        (1000, "1s"),
        (1500, "1.5s"),
        (360_000, "6m0s"),
        (61_250, "1m1.25s"),
        (3_600_000, "1h0m0s"),
    ],
)
def test_durations_are_as_go_prints_them(milliseconds: int, text: str) -> None:
    assert go_duration(milliseconds) == text


def test_the_headers_show_the_limit_with_less_left() -> None:
    limits = [
        LimitState("key.requests_per_minute", 60, 12, 5_000),
        LimitState("organization.requests_per_minute", 100, 3, 58_000),
        LimitState("key.tokens_per_minute", 1000, 500, 30_000),
    ]
    assert rate_headers(limits) == {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": "58s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "500",
        "x-ratelimit-reset-tokens": "30s",
    }


@pytest.mark.parametrize(
    ("first", "second", "fits_both"),
    [
        (set(), set(), set()),
        ({"demo-*"}, set(), {"demo-*"}),
        (set(), {"demo-*"}, {"demo-*"}),
        ({"demo-*"}, {"demo-chat", "other"}, {"demo-chat"}),
        ({"demo-*", "x"}, {"*"}, {"demo-*", "x"}),
        ({"demo-*"}, {"*-chat"}, {"demo-chat"}),
        ({"demo-*", "x-*"}, {"*-chat", "x-*"}, {"demo-chat", "x-*"}),
        # None at all would be every model.
        ({"demo-chat"}, {"demo-embed"}, NO_MODEL),
    ],
)
def test_what_fits_two_lists_of_patterns(first: set[str], second: set[str], fits_both: set[str]) -> None:
    sold = ["demo-chat", "demo-embed", "x-chat"]
    assert common(frozenset(first), frozenset(second), sold) == fits_both


words = st.text("ab*", max_size=4).filter(bool)
lists = st.frozensets(words, max_size=3)


@given(lists, lists, st.sets(st.text("ab", min_size=1, max_size=4), max_size=8))
def test_what_is_sold_fits_both_lists_where_it_fits_each(
    first: frozenset[str], second: frozenset[str], sold: set[str]
) -> None:
    both = common(first, second, sold)
    assert {model for model in sold if model_allowed(model, both)} == {
        model for model in sold if model_allowed(model, first) and model_allowed(model, second)
    }
