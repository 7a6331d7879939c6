"""Proofs are asked on one state of the books, of a day or of everything, and told to people and to programs."""

import json
import re
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from time_machine import travel

from accounts.models import ApiKey
from billing import proofs
from billing.models import LedgerTransaction, UsageEvent
from billing.posting import post_segment
from billing.proofs import rerating
from billing.proofs.proving import prove
from billing.proofs.shape import Extent, Finding, Proof
from tests.billing.proofs.conftest import DAY, NEXT_NOON, post, red
from tests.cast import make_segment, raw, usage_line

OPERATING = Path(__file__).resolve().parents[3] / "docs" / "operating.md"


def command(*arguments: str) -> tuple[Any, int]:
    told = StringIO()
    code = 0
    try:
        with travel(NEXT_NOON, tick=False):
            call_command("prove", *arguments, "--json", stdout=told)
    except SystemExit as exit:
        code = int(exit.code or 0)
    return json.loads(told.getvalue()), code


class TestTheCommand:
    def test_right_books_are_told_as_such(self, key: ApiKey) -> None:
        told, code = command()
        assert (told["ok"], code) == (True, 0)
        assert "lapsed_holds" in told
        assert [proof["name"] for proof in told["proofs"]] == [proof.name for proof in proofs.PROOFS]
        assert {tuple(proof) for proof in told["proofs"]} == {("name", "ok", "checked", "offender")}

    def test_as_text_it_has_a_line_for_each_and_counts_lapsed_holds(
        self, key: ApiKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("billing.management.commands.prove.lapsed", lambda: 1_234)
        told = StringIO()
        with travel(NEXT_NOON, tick=False):
            call_command("prove", stdout=told)
        *lines, lapsed = told.getvalue().splitlines()
        assert [line.split()[:2] for line in lines] == [["ok", proof.name] for proof in proofs.PROOFS]
        assert lapsed == "Holds that lapsed: 1,234"

    def test_operators_are_told_where_to_look_when_one_is_red(self) -> None:
        table = OPERATING.read_text().partition("**When a proof is red**")[2].partition("\n## ")[0]
        named = {
            name for first in re.findall(r"^\| (.+?) \|", table, re.MULTILINE) for name in re.findall("`(.+?)`", first)
        }
        assert {proof.name for proof in proofs.PROOFS} <= named

    def test_what_is_wrong_is_named_and_the_exit_code_says_so(self, key: ApiKey, tamper: Any) -> None:
        tamper("UPDATE billing_balance SET credit_nanos = 0 WHERE organization_id = %s", key.organization_id)
        told, code = command()
        assert (told["ok"], code) == (False, 1)
        offenders = {proof["name"]: proof["offender"] for proof in told["proofs"] if not proof["ok"]}
        assert set(offenders) == {"balances", "grants"}
        assert f"organization {key.organization_id}" in offenders["balances"]

    def test_people_read_it_too(self, key: ApiKey) -> None:
        told = StringIO()
        with travel(NEXT_NOON, tick=False):
            call_command("prove", stdout=told)
        assert told.getvalue().count("ok ") == len(proofs.PROOFS)


def test_a_day_is_proved_by_itself(key: ApiKey, tamper: Any) -> None:
    usage = LedgerTransaction.objects.get(event_day=DAY + timedelta(days=1), kind="usage")
    tamper(
        "UPDATE billing_ledgerentry SET amount_nanos = amount_nanos + 1"
        " WHERE transaction_id = %s AND account = 'revenue'",
        usage.pk,
    )
    assert red(day=DAY) == {}
    assert set(red(day=DAY + timedelta(days=1))) == {"transactions", "charges"}


def test_several_offenders_are_counted(key: ApiKey, tamper: Any) -> None:
    for seq in (6, 7):
        tamper("UPDATE billing_usageevent SET reason = 'x' WHERE seq = %s", seq)
    assert red()["rerating"].offender.endswith("(and 1 more)")


def test_a_sample_of_events_is_rated_again_where_there_are_many(key: ApiKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerating, "SAMPLE", 10)
    post(key, *range(8, 208), at=NEXT_NOON)
    (found,) = [result for result in prove(NEXT_NOON, day=NEXT_NOON.date()) if result.name == "rerating"]
    assert 0 < found.checked < 100


def test_a_proof_that_cannot_be_asked_is_red_and_the_others_are_asked(
    key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_extent: Extent) -> Finding:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        return Finding()

    monkeypatch.setattr("billing.proofs.proving.PROOFS", [Proof("broken", "", broken), *proofs.PROOFS])
    results = prove(NEXT_NOON)
    assert [result.name for result in results if not result.ok] == ["broken"]
    assert "division by zero" in results[0].offender


def test_whatever_goes_wrong_in_a_proof_turns_it_red_and_leaves_the_others(
    key: ApiKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_extent: Extent) -> Finding:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr("billing.proofs.proving.PROOFS", [Proof("broken", "", broken), *proofs.PROOFS])
    results = prove(NEXT_NOON)
    assert [result.name for result in results if not result.ok] == ["broken"]
    assert len(results) == 1 + len(proofs.PROOFS)
    assert "RecursionError" in results[0].offender


@pytest.mark.parametrize("version", [None, 987654321])
def test_an_event_without_its_price_version_is_named(key: ApiKey, tamper: Any, version: int | None) -> None:
    tamper("UPDATE billing_usageevent SET price_version_id = %s WHERE seq = 6", version)
    assert f"no price version {version}" in red()["rerating"].offender


def test_a_request_of_which_zeros_were_counted_rates_again(key: ApiKey) -> None:
    """Zeros aren't stored; and yet it isn't a request of which nothing was counted."""
    zeros = usage_line(key, at=NEXT_NOON, seq=8, usage={"input_tokens": 0})
    assert post_segment(make_segment(raw(zeros), now=NEXT_NOON).pk, now=NEXT_NOON)
    assert UsageEvent.objects.get(seq=8).usage == {}
    assert "rerating" not in red()
