"""A program asks what a request cost, and why."""

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import ApiKey
from billing.correcting import correct
from billing.correction_rules import one_event, otherwise, void
from billing.models import LedgerTransaction
from gateway.http.request_ids import new_request_id
from hotstate import holds
from tests.api.program import Program, code_of
from tests.cast import make_key, make_model, set_terms
from tests.website.browsing import use

pytestmark = pytest.mark.django_db
Acting = tuple[ApiKey, Program]


@pytest.fixture(autouse=True)
def _own_archive(settings: Any, tmp_path: Path) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}


def test_a_request_s_lines_lead_to_its_charge_and_to_the_ledger(acting: Acting) -> None:
    model = make_model(prices={"input_tokens": (1, 3), "output_tokens": (2 * 10**9, 10**6)})
    event = use(acting[0], model, usage={"input_tokens": 2, "reasoning_tokens": 5}, stream=True)[0]
    status, told = acting[1].get(f"requests/{event.id}")
    assert status == 200
    assert told["lines"] == [
        {
            "meter": "input_tokens",
            "units": 2,
            "priced_as": "input_tokens",
            "unit_price": "0.000000001",
            "per_units": 3,
            "from_input_tokens": 0,
            "variant": "",
            "exact_nanos": "2/3",
        },
        {
            "meter": "reasoning_tokens",
            "units": 5,
            "priced_as": "output_tokens",
            "unit_price": "2.000000000",
            "per_units": 10**6,
            "from_input_tokens": 0,
            "variant": "",
            "exact_nanos": "10000",
        },
    ]
    assert (told["exact_nanos"], told["rounding_nanos"]) == ("30002/3", "1/3")
    assert (told["charge_nanos"], told["charge"]) == (10_001, "0.000010001")
    assert Fraction(told["exact_nanos"]) + Fraction(told["rounding_nanos"]) == told["charge_nanos"]
    assert (told["outcome"], told["reason"], told["kind"], told["stream"]) == (
        "completed",
        "as_reported",
        "usage",
        True,
    )
    assert told["ledger_transaction"]["id"] == LedgerTransaction.objects.get().pk
    assert told["price_version"]["id"] == event.price_version_id
    assert (told["key"], told["model"]) == (acting[0].public_id, model.public_id)


def test_each_multiplier_has_its_reason(acting: Acting) -> None:
    model = make_model()
    set_terms(acting[0].organization, own_discount_bp=2500)
    event = use(acting[0], model)[0]
    told = acting[1].get(f"requests/{event.id}")[1]
    assert told["multipliers"] == [{"reason": "discount", "basis_points": 7500}]
    assert (told["charge_nanos"], event.multipliers) == ((1000 * 3_000 + 100 * 15_000) * 3 // 4, [7500])


def test_what_costs_nothing_says_why(acting: Acting) -> None:
    event = use(acting[0], make_model(), outcome="upstream_error", status=502)[0]
    told = acting[1].get(f"requests/{event.id}")[1]
    assert (told["charge"], told["exact_nanos"], told["reason"]) == ("0.000000000", "0", "upstream_failed")
    assert told["ledger_transaction"] is None


def test_what_was_corrected_later_is_told_in_its_order(acting: Acting) -> None:
    event = use(acting[0], make_model())[0]
    for rule, reason in ((otherwise(usage={"input_tokens": 1000}), "counted twice"), (void, "an outage")):
        scope = one_event(event.id)
        correct(scope, rule, what="one", reason=reason, actor=None, clock=lambda: datetime.now(UTC))
    told = acting[1].get(f"requests/{event.id}")[1]
    assert [(one["reason"], one["old_charge"], one["new_charge"]) for one in told["corrections"]] == [
        ("counted twice", "0.004500000", "0.003000000"),
        ("an outage", "0.003000000", "0.000000000"),
    ]
    assert (told["charge"], told["charge_now"], told["charge_now_nanos"]) == ("0.004500000", "0.000000000", 0)
    assert all(one["ledger_transaction"]["id"] for one in told["corrections"])


def test_what_isn_t_posted_yet_is_said(acting: Acting, empty_valkey: Any) -> None:
    request_id, org = str(new_request_id()), acting[0].organization.public_id
    holds.register(empty_valkey, [holds.Hold(org, request_id, holds.SETTLED, 5, acting[0].public_id)], 0)
    answer = acting[1].client.get(f"/api/v1/requests/{request_id}")
    assert (answer.status_code, answer["Retry-After"]) == (404, "2")
    assert answer.json()["error"]["code"] == "request_not_posted"


def test_an_outsider_s_is_as_one_that_doesn_t_exist(acting: Acting, outsider: Program, empty_valkey: Any) -> None:
    event = use(acting[0], make_model())[0]
    held = str(new_request_id())
    org = acting[0].organization.public_id
    holds.register(empty_valkey, [holds.Hold(org, held, holds.SETTLED, 5, acting[0].public_id)], 0)
    nothing = outsider.get(f"requests/{uuid4()}")
    assert code_of(nothing) == (404, "request_not_found", None)
    assert outsider.get(f"requests/{event.id}") == nothing
    assert outsider.get(f"requests/{held}") == nothing
    assert code_of(outsider.get("requests/nonsense")) == (404, "unknown_url", None)


def test_it_takes_the_scope(acting: Acting) -> None:
    event = use(acting[0], make_model())[0]
    without = Program(make_key(acting[0].organization, scopes=["chat", "keys:read", "keys:write"])[1])
    assert code_of(without.get(f"requests/{event.id}")) == (401, "missing_scope", None)


def test_without_valkey_receipts_are_read_and_nothing_is_said_not_to_exist(acting: Acting, no_valkey: None) -> None:
    event = use(acting[0], make_model())[0]
    assert acting[1].get(f"requests/{event.id}")[0] == 200
    assert code_of(acting[1].get(f"requests/{uuid4()}")) == (503, "service_unavailable", None)
