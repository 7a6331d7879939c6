"""Envoy AI Gateway's access log as usage."""

from datetime import timedelta

from tests.billing.adapters.records import STARTED, complaint, converted, envoy_ai, line


def test_counts_become_disjoint_meters() -> None:
    details = {
        "gen_ai.usage.cache_read.input_tokens": "10",
        "gen_ai.usage.cache_creation.input_tokens": 2,
        "gen_ai.usage.reasoning_tokens": 3,
    }
    found = line("envoy-ai", envoy_ai(**details))
    assert found.usage == {
        "requests": 1,
        "input_tokens": 3,
        "cached_input_tokens": 10,
        "cache_write_tokens": 2,
        "output_tokens": 4,
        "reasoning_tokens": 3,
    }
    assert found.ended == STARTED + timedelta(milliseconds=1526)


def test_an_explicit_zero_stays_zero() -> None:
    """LiteLLM 37992."""
    zeros = {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": "0"}
    found = line("envoy-ai", envoy_ai(**zeros))
    assert found.usage == {"requests": 1, "input_tokens": 0, "output_tokens": 0}


def test_without_counts_a_good_answer_waits() -> None:
    for missing in (None, "-", ""):
        assert "gen_ai.usage" in complaint("envoy-ai", envoy_ai(**{"gen_ai.usage.output_tokens": missing}))


def test_a_client_that_left_pays_what_was_counted_until_then() -> None:
    """LiteLLM 14457: nothing was charged at all; new-api 4168: the whole prompt before any output."""
    left = line("envoy-ai", envoy_ai(response_flags="DC"))
    assert (left.outcome, left.usage["output_tokens"]) == ("client_disconnected", 7)
    nothing = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None, "bytes_sent": 0}
    assert line("envoy-ai", envoy_ai(response_code=0, **nothing)).usage == {"requests": 1}


def test_an_upstreams_error_costs_nothing() -> None:
    """new-api 5287: an upstream's error text was billed as output."""
    assert line("envoy-ai", envoy_ai(response_code=502)).outcome == "upstream_error"


def test_what_keymeter_refused_is_no_usage() -> None:
    assert converted("envoy-ai", envoy_ai(key="-", response_code=429)) is None
    assert "`key`" in complaint("envoy-ai", envoy_ai(key="-"))
