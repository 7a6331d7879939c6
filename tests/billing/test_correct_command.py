"""`manage.py correct` says what it would change, and posts it when told to."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import ApiKey, AuditEntry
from billing.models import (
    PriceVersion,
    UsageEvent,
)
from catalog.models import Model
from tests.billing.corrected import CHARGE, NOON, balance, books, key, post
from tests.cast import (
    DOLLAR,
    usage_line,
)

__all__ = ["key"]
pytestmark = pytest.mark.django_db


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
