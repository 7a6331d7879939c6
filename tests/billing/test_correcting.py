"""A correction takes away what was posted and adds what is right, once, and edits nothing."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection

from accounts.models import ApiKey, AuditEntry
from billing import correcting, standing
from billing.correcting import CorrectionError, Rule, correct, preview
from billing.correction_rules import by_rate_card, one_event, other_usage, otherwise, void
from billing.models import (
    Balance,
    Correction,
    CreditGrant,
    DailyUsage,
    EventCorrection,
    HourlyUsage,
    LedgerEntry,
    LedgerTransaction,
    PriceVersion,
    Segment,
    UsageEvent,
)
from billing.partitions import ensure_partitions, first_id
from billing.posting import post_segment
from billing.rate_card import rate_card
from billing.standing import Scope
from billing.superseding import supersede_prices
from billing.tariff import Tariff
from catalog.models import Model
from tests.cast import (
    DOLLAR,
    LONG_AGO,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
    raw,
    usage_line,
)

pytestmark = pytest.mark.django_db
DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
CHARGE = 1000 * 3_000 + 100 * 15_000
WHOLE_DAY = Scope(first_id(DAY), first_id(DAY + timedelta(days=1)))
DEARER = Tariff(0, {"input_tokens": (6_000, 1), "output_tokens": (15_000, 1)})


def by_prices(tariff: Tariff) -> Rule:
    return by_rate_card(rate_card().superseded(Model.objects.get().pk, tariff, LONG_AGO))


@pytest.fixture
def key() -> ApiKey:
    ensure_partitions(DAY)
    organization = make_organization()
    make_model()
    give_credit(organization, DOLLAR, now=NOON)
    return make_key(organization)[0]


def post(*lines: dict[str, object]) -> Segment:
    now = NOON + timedelta(hours=2)
    posted = post_segment(make_segment(raw(*lines), now=now).pk, now=now)
    assert posted
    return posted


def run(scope: Scope, rule: Any, **fields: Any) -> dict[int, correcting.Difference]:
    return correct(
        scope, rule, **{"what": "test", "reason": "a mistake", "actor": None, "clock": lambda: NOON, **fields}
    )


def balance(key: ApiKey) -> int:
    return Balance.objects.get(organization=key.organization).nanos


def books() -> dict[str, int]:
    """The sum of charges as each of the books has it."""
    entries = LedgerEntry.objects.filter(account="revenue").values_list("amount_nanos", flat=True)
    differences = [correction.difference_nanos for correction in EventCorrection.objects.all()]
    return {
        "events": sum(UsageEvent.objects.values_list("charge_nanos", flat=True)) + sum(differences),
        "hourly": sum(HourlyUsage.objects.values_list("charge_nanos", flat=True)),
        "daily": sum(DailyUsage.objects.values_list("charge_nanos", flat=True)),
        "ledger": sum(entries),
        "balances": DOLLAR - sum(Balance.objects.values_list("nanos", flat=True)),
    }


class TestOneEvent:
    def test_a_void_event_costs_nothing_and_stays_as_it_was_posted(self, key: ApiKey) -> None:
        line = usage_line(key, at=NOON)
        segment = post(line, usage_line(key, at=NOON, seq=2))
        event = UsageEvent.objects.get(pk=line["id"])
        run(one_event(event.pk), void)
        assert set(books().values()) == {CHARGE}
        assert UsageEvent.objects.get(pk=event.pk).charge_nanos == CHARGE
        made = EventCorrection.objects.get()
        assert (made.event_id, made.old_charge_nanos, made.new_charge_nanos, made.usage) == (event.pk, CHARGE, 0, {})
        assert made.transaction
        operation = f"usage:{segment.pk}:{key.organization_id}:{DAY}"
        assert made.transaction.corrects == LedgerTransaction.objects.get(operation_key=operation)
        assert made.transaction.reason == made.correction.reason == "a mistake"

    def test_the_rollups_have_a_row_of_their_own(self, key: ApiKey) -> None:
        line = usage_line(key, at=NOON)
        post(line)
        run(one_event(UsageEvent.objects.get().pk), other_usage({"input_tokens": 400, "output_tokens": 100}))
        row = DailyUsage.objects.get(kind="correction")
        assert (row.events, row.charge_nanos, row.input_tokens, row.output_tokens) == (0, -600 * 3_000, -600, 0)

    def test_the_same_correction_again_does_nothing(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON))
        event = UsageEvent.objects.get().pk
        run(one_event(event), void)
        assert run(one_event(event), void) == {}
        assert (EventCorrection.objects.count(), Correction.objects.count(), balance(key)) == (1, 1, DOLLAR)

    def test_a_second_correction_builds_on_the_first(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON))
        event = UsageEvent.objects.get().pk
        run(one_event(event), void)
        run(one_event(event), other_usage({"input_tokens": 10}))
        steps = EventCorrection.objects.order_by("number").values_list("number", "old_charge_nanos", "new_charge_nanos")
        assert list(steps) == [(1, CHARGE, 0), (2, 0, 30_000)]
        assert set(books().values()) == {30_000}

    def test_an_event_that_cost_nothing_can_be_charged_and_that_taken_back(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON, usage={"input_tokens": 0}))
        event = UsageEvent.objects.get().pk
        run(one_event(event), other_usage({"input_tokens": 10}))
        first = LedgerTransaction.objects.get(kind="correction")
        assert first.corrects is None
        run(one_event(event), void)
        assert first.corrections.get().corrects == first
        assert CreditGrant.objects.get().remaining_nanos == DOLLAR
        assert set(books().values()) == {0}

    def test_what_the_outcome_made_free_stays_free(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON, outcome="upstream_error"))
        run(one_event(UsageEvent.objects.get().pk), other_usage({"input_tokens": 10}))
        assert set(books().values()) == {0}

    def test_the_credit_goes_back_to_the_grant_that_paid(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON))
        run(one_event(UsageEvent.objects.get().pk), void)
        assert CreditGrant.objects.get().remaining_nanos == DOLLAR

    def test_what_came_first_as_failed_can_be_charged_as_completed(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON, outcome="upstream_error"))
        event = UsageEvent.objects.get().pk
        run(one_event(event), otherwise(outcome="completed"))
        assert set(books().values()) == {CHARGE}
        assert EventCorrection.objects.get().outcome == "completed"
        assert DailyUsage.objects.get(kind="correction").errors == -1
        run(one_event(event), other_usage({"input_tokens": 10}))
        assert set(books().values()) == {30_000}
        run(one_event(event), otherwise(outcome="timeout"))
        assert set(books().values()) == {0}
        assert DailyUsage.objects.get(kind="correction").errors == 0

    def test_an_end_that_cannot_be_is_refused(self, key: ApiKey) -> None:
        with pytest.raises(CorrectionError, match="no way to end"):
            otherwise(outcome="lost")

    def test_other_usage_costs_what_the_prices_that_stand_by_then_say(self, key: ApiKey) -> None:
        """Peer bug of ours: an event of output only kept its version, when the price of input was superseded."""
        post(usage_line(key, at=NOON, usage={"output_tokens": 100}))
        model, since = Model.objects.get(), NOON - timedelta(hours=1)
        prices = {"input_tokens": (30_000, 1), "output_tokens": (15_000, 1)}
        until = NOON + timedelta(hours=1)
        supersede_prices(model, prices, since, until, actor=None, reason="x", now=NOON + timedelta(hours=2))
        run(WHOLE_DAY, by_rate_card(rate_card()))
        assert not EventCorrection.objects.exists()
        run(one_event(UsageEvent.objects.get().pk), other_usage({"input_tokens": 1000, "output_tokens": 100}))
        assert set(books().values()) == {1000 * 30_000 + 100 * 15_000}
        assert EventCorrection.objects.get().price_version != PriceVersion.objects.get(effective_from=LONG_AGO)

    @pytest.mark.parametrize(
        ("usage", "words"),
        [
            ({"bananas": 1}, "not something that is counted"),
            ({"input_tokens": -1}, "out of bounds"),
            ({"input_tokens": 10**13}, "out of bounds"),
            ({"images": 1}, "don't name"),
            ({"output_tokens": 10**9}, "more than a request can"),
        ],
    )
    def test_usage_that_cannot_be_is_refused(self, key: ApiKey, usage: dict[str, int], words: str) -> None:
        post(usage_line(key, at=NOON))
        with pytest.raises(CorrectionError, match=words):
            run(one_event(UsageEvent.objects.get().pk), other_usage(usage))
        assert set(books().values()) == {CHARGE}


class TestManyEvents:
    @pytest.fixture(autouse=True)
    def small_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(standing, "BATCH", 3)

    def test_a_dry_run_says_what_posting_then_does(self, key: ApiKey) -> None:
        other = make_key(make_organization("Other"))[0]
        post(*(usage_line(owner, at=NOON, seq=seq) for seq in range(1, 6) for owner in (key, other)))
        expected = preview(WHOLE_DAY, by_prices(DEARER))
        assert {pk: (it.events, it.nanos) for pk, it in expected.items()} == {
            key.organization_id: (5, 5 * 3_000_000),
            other.organization_id: (5, 5 * 3_000_000),
        }
        assert not EventCorrection.objects.exists()
        assert run(WHOLE_DAY, by_prices(Tariff(PriceVersion.objects.get().pk, DEARER.unit_prices))) == expected
        assert preview(WHOLE_DAY, by_prices(DEARER)) == {}
        assert set(books().values()) == {10 * (CHARGE + 3_000_000)}

    def test_a_correction_that_was_killed_is_run_again_and_goes_on(self, key: ApiKey) -> None:
        post(*(usage_line(key, at=NOON, seq=seq) for seq in range(1, 9)))
        seen = 0

        def killed(events: int) -> None:
            nonlocal seen
            seen += events
            if seen >= 6:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(WHOLE_DAY, void, tick=killed)
        assert EventCorrection.objects.count() == 6
        run(WHOLE_DAY, void)
        assert EventCorrection.objects.count() == 8
        assert set(books().values()) == {0}

    def test_what_another_corrected_meanwhile_is_not_corrected_again(
        self, key: ApiKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The batch was read before the lock was taken: it is read again under it."""
        post(usage_line(key, at=NOON))
        read = standing.batches

        def overtaken(scope: Scope) -> Iterator[list[standing.Standing]]:
            for batch in read(scope):
                monkeypatch.setattr(standing, "batches", read)
                run(scope, void)
                yield batch

        monkeypatch.setattr(standing, "batches", overtaken)
        run(WHOLE_DAY, void)
        assert EventCorrection.objects.count() == 1
        assert set(books().values()) == {0}

    def test_events_whose_corrections_cancel_out_move_no_money(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON, usage={"input_tokens": 1}), usage_line(key, at=NOON, usage={"output_tokens": 3}))
        swapped = Tariff(PriceVersion.objects.get().pk, {"input_tokens": (18_000, 1), "output_tokens": (10_000, 1)})
        run(WHOLE_DAY, by_prices(swapped))
        assert list(EventCorrection.objects.values_list("transaction", flat=True)) == [None, None]
        assert set(books().values()) == {48_000}


@pytest.mark.parametrize("table", ["billing_correction", "billing_eventcorrection"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET id = id"])
def test_the_database_refuses_changes_of_corrections(key: ApiKey, table: str, statement: str) -> None:
    post(usage_line(key, at=NOON))
    run(WHOLE_DAY, void)
    with pytest.raises(IntegrityError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(statement.format(table))


class TestTheCommand:
    PERIOD = ("prices", "--model", "demo-chat", "--from", "2026-03-10T00:00:00Z", "--to", "2026-03-10T13:00:00Z")

    def run(self, *arguments: str) -> Any:
        told = StringIO()
        call_command("correct", *arguments, "--json", stdout=told)
        return json.loads(told.getvalue())

    def test_it_says_first_and_posts_when_told_to(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON))
        event = str(UsageEvent.objects.get().pk)
        assert self.run("event", event, "--void")["difference_nanos"] == -CHARGE
        assert balance(key) == DOLLAR - CHARGE
        told = self.run("event", event, "--void", "--post", "--reason", "tested twice")
        assert (told["posted"], told["organizations"][0]["organization"]) == (True, key.organization.public_id)
        assert balance(key) == DOLLAR
        assert AuditEntry.objects.get(action="usage.correct").reason == "tested twice"
        assert self.run("event", event, "--void", "--post", "--reason", "tested twice")["events"] == 0

    def test_other_usage(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON))
        event = str(UsageEvent.objects.get().pk)
        self.run("event", event, "--usage", "input_tokens=7", "output_tokens=0", "--post", "--reason", "counted twice")
        assert set(books().values()) == {21_000}

    def test_a_period_under_superseding_prices(self, key: ApiKey) -> None:
        """What was posted within the period is corrected, what comes late for it is rated by the new prices."""
        later = NOON + timedelta(hours=1)
        post(usage_line(key, at=NOON), usage_line(key, at=later, seq=2))
        wrong = PriceVersion.objects.get()
        prices = ("--price", "input_tokens=0.000001/1", "output_tokens=0.00/1")
        dry = self.run(*self.PERIOD, *prices)
        assert (dry["events"], dry["difference_nanos"]) == (1, 1_000_000 - CHARGE)
        assert PriceVersion.objects.count() == 1
        done = self.run(*self.PERIOD, *prices, "--post", "--reason", "a typing error")
        assert done == {**dry, "posted": True}
        post(usage_line(key, at=NOON, seq=3), usage_line(key, at=later, seq=4))
        charges = UsageEvent.objects.order_by("seq").values_list("charge_nanos", flat=True)
        assert list(charges) == [CHARGE, CHARGE, 1_000_000, CHARGE]
        assert set(books().values()) == {2 * 1_000_000 + 2 * CHARGE}
        assert PriceVersion.objects.get(pk=wrong.pk).superseded_at is None
        again = self.run(*self.PERIOD, *prices, "--post", "--reason", "a typing error")
        assert (again["events"], PriceVersion.objects.count()) == (0, 3)

    def test_versions_within_the_period_are_superseded(self, key: ApiKey) -> None:
        from tests.cast import set_prices

        model = Model.objects.get()
        within = set_prices(model, {"input_tokens": (7, 1)}, effective_from=NOON - timedelta(hours=1))
        after = set_prices(model, {"input_tokens": (8, 1)}, effective_from=NOON + timedelta(hours=1))
        self.run(*self.PERIOD, "--price", "input_tokens=0.000000009/1", "--post", "--reason", "wrong")
        within.refresh_from_db()
        assert within.superseded_at and within.until_number
        standing_now = PriceVersion.objects.standing().order_by("effective_from")
        assert [version.effective_from for version in standing_now][1:] == [
            datetime(2026, 3, 10, tzinfo=UTC),
            after.effective_from,
        ]

    def test_another_end(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON, outcome="refused"))
        event = str(UsageEvent.objects.get().pk)
        told = self.run("event", event, "--outcome", "completed", "--post", "--reason", "the first line was wrong")
        assert (told["difference_nanos"], set(books().values())) == (CHARGE, {CHARGE})

    def test_what_cannot_be_corrected_is_left_out_and_named(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON), usage_line(key, at=NOON, seq=2, usage={"cached_input_tokens": 2 * 10**7}))
        dear = UsageEvent.objects.get(seq=2)
        arguments = (*self.PERIOD, "--price", "input_tokens=0.001/1", "output_tokens=0.00/1")
        for posting in ((), ("--post", "--reason", "a typing error"), ("--post", "--reason", "again")):
            told = StringIO()
            with pytest.raises(SystemExit) as ended:
                call_command("correct", *arguments, *posting, "--json", stdout=told)
            answer = json.loads(told.getvalue())
            assert (ended.value.code, answer["skipped"]) == (1, 1)
            assert str(dear.pk) in answer["skipped_because"][0]
            assert answer["events"] == (0 if "again" in posting else 1)
        assert set(books().values()) == {1000 * 1_000_000 + dear.charge_nanos}

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("event", "0192a0e0-0000-7000-8000-000000000000", "--void"), "There is no event"),
            ((*PERIOD, "--post"), "Say why"),
            ((*PERIOD, "--price", "input_tokens=abc/1"), "write it as"),
            ((*PERIOD, "--price", "input_tokens=0.0000000001/1"), "up to nine decimals"),
            ((*PERIOD, "--price", "bananas=1/1"), "not something that is counted"),
            ((*PERIOD, "--by", "nobody@example.com"), "nobody of the staff"),
            (("prices", "--model", "none", *PERIOD[3:]), "no model"),
            ((*PERIOD[:-1], "2126-01-01T00:00:00Z", "--price", "images=1/1", "--post", "--reason", "x"), "is over"),
        ],
    )
    def test_what_cannot_be_is_told(self, key: ApiKey, arguments: tuple[str, ...], words: str) -> None:
        with pytest.raises(CommandError, match=words):
            self.run(*arguments)
