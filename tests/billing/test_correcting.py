"""A correction takes away what was posted and adds what is right, once, and edits nothing."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection

from accounts.models import ApiKey
from billing import standing
from billing.correcting import CorrectionError, preview
from billing.correction_rules import by_rate_card, one_event, otherwise, void
from billing.models import (
    Correction,
    CreditGrant,
    DailyUsage,
    EventCorrection,
    LedgerTransaction,
    PriceVersion,
    UsageEvent,
)
from billing.rate_card import rate_card
from billing.standing import Scope
from billing.superseding import supersede_prices
from billing.tariff import Tariff
from catalog.models import Model
from tests.billing.corrected import CHARGE, DAY, DEARER, NOON, WHOLE_DAY, balance, books, by_prices, key, post, run
from tests.cast import (
    DOLLAR,
    LONG_AGO,
    make_key,
    make_organization,
    usage_line,
)

__all__ = ["key"]
pytestmark = pytest.mark.django_db


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
        run(one_event(UsageEvent.objects.get().pk), otherwise(usage={"input_tokens": 400, "output_tokens": 100}))
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
        run(one_event(event), otherwise(usage={"input_tokens": 10}))
        steps = EventCorrection.objects.order_by("number").values_list("number", "old_charge_nanos", "new_charge_nanos")
        assert list(steps) == [(1, CHARGE, 0), (2, 0, 30_000)]
        assert set(books().values()) == {30_000}

    def test_an_event_that_cost_nothing_can_be_charged_and_that_taken_back(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON, usage={"input_tokens": 0}))
        event = UsageEvent.objects.get().pk
        run(one_event(event), otherwise(usage={"input_tokens": 10}))
        first = LedgerTransaction.objects.get(kind="correction")
        assert first.corrects is None
        run(one_event(event), void)
        assert first.corrections.get().corrects == first
        assert CreditGrant.objects.get().remaining_nanos == DOLLAR
        assert set(books().values()) == {0}

    def test_what_the_outcome_made_free_stays_free(self, key: ApiKey) -> None:
        post(usage_line(key, at=NOON, outcome="upstream_error"))
        run(one_event(UsageEvent.objects.get().pk), otherwise(usage={"input_tokens": 10}))
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
        run(one_event(event), otherwise(usage={"input_tokens": 10}))
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
        run(one_event(UsageEvent.objects.get().pk), otherwise(usage={"input_tokens": 1000, "output_tokens": 100}))
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
            run(one_event(UsageEvent.objects.get().pk), otherwise(usage=usage))
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
