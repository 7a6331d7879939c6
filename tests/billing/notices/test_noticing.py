"""What is told, to whom, and that it is told once."""

from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection

from accounts.models import ApiKey, Organization
from billing.models import BalanceThreshold, Notice, PriceList, PriceVersion
from billing.notices import balances, budgets, expiries, price_changes
from catalog.models import Model
from tests.billing.notices.conftest import CHARGE, NOW, member, use
from tests.cast import DOLLAR, PRICES, give_credit, make_key, make_model, set_prices

Delivered = Callable[[], list[tuple[str, str]]]
SECOND = timedelta(seconds=1)


def thresholds(organization: Organization, *nanos: int) -> None:
    balances.set_thresholds(organization, nanos, actor=member(organization).user, now=NOW)


@pytest.mark.django_db
class TestLowBalance:
    def test_it_is_told_once_when_it_falls_below(
        self, organization: Organization, key: ApiKey, delivered: Delivered
    ) -> None:
        give_credit(organization, DOLLAR, now=NOW)
        thresholds(organization, DOLLAR)
        assert balances.watch(NOW) == 0
        use(key)
        assert balances.watch(NOW) == 1
        assert balances.watch(NOW) == 0
        assert delivered() == [("owner@example.com", "[Keymeter] Acme: the balance is below $1.00")]
        assert delivered() == []

    def test_it_is_told_again_after_it_was_above(
        self, organization: Organization, key: ApiKey, delivered: Delivered
    ) -> None:
        give_credit(organization, DOLLAR, now=NOW)
        thresholds(organization, DOLLAR)
        for number in range(2):
            use(key)
            assert balances.watch(NOW) == 1
            use(key)
            assert balances.watch(NOW) == 0
            give_credit(organization, 2 * CHARGE, key=f"more-{number}", now=NOW)
            assert balances.watch(NOW) == 0
        assert len(delivered()) == 2

    def test_of_several_amounts_at_once_the_lowest_is_told(self, organization: Organization, key: ApiKey) -> None:
        give_credit(organization, DOLLAR, now=NOW)
        thresholds(organization, DOLLAR, DOLLAR // 2, DOLLAR // 4)
        use(key, number=150)
        assert balances.watch(NOW) == 1
        assert Notice.objects.get().facts == {"threshold_nanos": DOLLAR // 2, "balance_nanos": DOLLAR - 150 * CHARGE}
        use(key, number=100)
        assert balances.watch(NOW) == 1

    def test_an_amount_that_the_balance_is_below_already_tells_nothing_yet(self, organization: Organization) -> None:
        give_credit(organization, DOLLAR, now=NOW)
        thresholds(organization, 2 * DOLLAR)
        assert balances.watch(NOW) == 0
        give_credit(organization, DOLLAR, key="more", now=NOW)
        assert balances.watch(NOW) == 0
        assert BalanceThreshold.objects.get().armed

    def test_amounts_that_stay_keep_what_they_know(self, organization: Organization, key: ApiKey) -> None:
        give_credit(organization, DOLLAR, now=NOW)
        thresholds(organization, DOLLAR)
        use(key)
        assert balances.watch(NOW) == 1
        thresholds(organization, DOLLAR, DOLLAR // 2)
        assert balances.watch(NOW) == 0

    def test_there_are_only_so_many_amounts(self, organization: Organization) -> None:
        with pytest.raises(ValueError, match="At most 5"):
            thresholds(organization, 1, 2, 3, 4, 5, 6)


@pytest.mark.django_db(transaction=True)
def test_two_that_watch_at_once_tell_once(organization: Organization, key: ApiKey) -> None:
    give_credit(organization, DOLLAR, now=NOW)
    thresholds(organization, DOLLAR)
    use(key)
    together, told = Barrier(4), []

    def work() -> None:
        together.wait(30)
        told.append(balances.watch(NOW))
        connection.close()

    crowd = [Thread(target=work) for _ in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(30)
    assert sorted(told) == [0, 0, 0, 1]


@pytest.mark.django_db
class TestKeyBudget:
    @pytest.fixture
    def tight(self, key: ApiKey) -> ApiKey:
        """Ten requests a day."""
        key.budget_day_nanos = 10 * CHARGE
        key.save()
        return key

    def test_it_is_told_at_eighty_percent_and_at_all_of_it(self, tight: ApiKey, delivered: Delivered) -> None:
        use(tight, number=7)
        assert budgets.watch(NOW) == 0
        use(tight)
        assert budgets.watch(NOW) == 1
        use(tight)
        assert budgets.watch(NOW) == 0
        use(tight)
        assert budgets.watch(NOW) == 1
        assert delivered() == [
            (f"{who}@example.com", f"[Keymeter] Acme: key production has used {share} budget")
            for share in ("80 % of its", "its")
            for who in ("owner", "developer")
        ]

    def test_of_two_shares_at_once_the_larger_is_told(self, tight: ApiKey) -> None:
        use(tight, number=11)
        assert budgets.watch(NOW) == 1
        assert Notice.objects.get().facts["share"] == 100

    def test_a_new_window_is_told_again(self, tight: ApiKey) -> None:
        use(tight, number=8)
        assert budgets.watch(NOW) == 1
        tomorrow = NOW + timedelta(days=1)
        use(tight, number=8, at=tomorrow)
        assert budgets.watch(tomorrow) == 1

    def test_another_budget_is_told_again(self, tight: ApiKey) -> None:
        use(tight, number=10)
        assert budgets.watch(NOW) == 1
        tight.budget_day_nanos = 11 * CHARGE
        tight.save()
        use(tight)
        assert budgets.watch(NOW) == 1

    @pytest.mark.parametrize("window", ["day", "week", "month", "total"])
    def test_every_window_is_watched(self, key: ApiKey, window: str, delivered: Delivered) -> None:
        setattr(key, f"budget_{window}_nanos", CHARGE)
        key.save()
        use(key)
        assert budgets.watch(NOW) == 1
        assert Notice.objects.get().facts["window"] == window
        assert len(delivered()) == 2

    def test_keys_are_looked_at_only_after_something_moved(
        self, tight: ApiKey, django_assert_num_queries: Callable[[int], object]
    ) -> None:
        use(tight, number=8)
        budgets.watch(NOW)
        with django_assert_num_queries(1):  # type: ignore[attr-defined]
            assert budgets.watch(NOW) == 0

    def test_revoked_keys_are_not_told_of(self, tight: ApiKey) -> None:
        use(tight, number=8)
        tight.revoked_at = NOW
        tight.save()
        assert budgets.watch(NOW) == 0


@pytest.mark.django_db
class TestKeyExpiry:
    @pytest.mark.parametrize(
        ("left", "days"),
        [
            (timedelta(days=7, seconds=1), None),
            (timedelta(days=7), 7),
            (timedelta(days=1, seconds=1), 7),
            (timedelta(days=1), 1),
            (timedelta(seconds=1), 1),
            (timedelta(0), None),
        ],
    )
    def test_it_is_told_seven_days_and_one_day_before(self, key: ApiKey, left: timedelta, days: int | None) -> None:
        key.expires_at = NOW + left
        key.save()
        expiries.tell(NOW)
        assert [notice.facts["days"] for notice in Notice.objects.all()] == ([days] if days else [])

    def test_each_is_told_once(self, key: ApiKey, delivered: Delivered) -> None:
        key.expires_at = NOW + timedelta(days=7)
        key.save()
        told = [expiries.tell(NOW + timedelta(days=day)) for day in range(8)]
        assert told == [1, 0, 0, 0, 0, 0, 1, 0]
        assert [subject for who, subject in delivered() if who.startswith("owner")] == [
            "[Keymeter] Acme: key production expires in 7 days or less",
            "[Keymeter] Acme: key production expires within a day",
        ]

    def test_a_key_that_was_made_for_a_few_days_is_told_of_a_day_before(self, organization: Organization) -> None:
        make_key(organization, expires_at=NOW + timedelta(days=3), now=NOW)
        assert expiries.tell(NOW) == 0
        assert expiries.tell(NOW + timedelta(days=2)) == 1

    def test_a_key_that_was_made_for_hours_is_not_told_of(self, organization: Organization) -> None:
        make_key(organization, expires_at=NOW + timedelta(hours=3), now=NOW)
        assert expiries.tell(NOW) == 0


@pytest.mark.django_db
class TestPriceChange:
    AHEAD = NOW + timedelta(days=5)

    @pytest.fixture
    def used(self, key: ApiKey) -> Model:
        use(key)
        return Model.objects.get()

    def change(self, model: Model, **fields: object) -> PriceVersion:
        version = set_prices(model, {**PRICES, "input_tokens": (4 * DOLLAR, 10**6)}, effective_from=self.AHEAD)
        PriceVersion.objects.filter(pk=version.pk)
        return version

    def test_who_used_the_model_is_told_once(self, used: Model, delivered: Delivered) -> None:
        self.change(used)
        assert price_changes.tell(NOW) == 1
        assert price_changes.tell(NOW + timedelta(days=1)) == 0
        assert ("owner@example.com", "[Keymeter] Acme: prices change on 2026-03-15") in delivered()
        assert Notice.objects.get().facts["models"] == [
            {
                "model": "demo-chat",
                "prices": [{"meter": "input_tokens", "old": [3 * DOLLAR, 10**6], "new": [4 * DOLLAR, 10**6]}],
            }
        ]

    def test_the_mail_says_what_it_was_and_what_it_will_be(self, used: Model, delivered: Delivered) -> None:
        from django.core import mail

        self.change(used)
        price_changes.tell(NOW)
        delivered()
        assert "Input tokens: $3.00 per 1M → $4.00 per 1M" in mail.outbox[0].body

    def test_what_is_published_together_is_told_together(self, used: Model, key: ApiKey) -> None:
        other = make_model("other")
        from billing.posting import post_segment
        from tests.cast import make_segment, raw, usage_line

        assert post_segment(make_segment(raw(usage_line(key, "other", at=NOW)), now=NOW).pk, now=NOW)
        self.change(used)
        self.change(other)
        assert price_changes.tell(NOW) == 1
        assert [model["model"] for model in Notice.objects.get().facts["models"]] == ["demo-chat", "other"]

    def test_a_model_that_nobody_used_lately_is_not_told_of(self, used: Model) -> None:
        self.change(used)
        assert price_changes.tell(NOW + timedelta(days=1)) == 1
        self.change(make_model("unused"))
        assert price_changes.tell(NOW) == 0

    def test_use_of_long_ago_is_not_lately(self, used: Model) -> None:
        later = NOW + timedelta(days=30)
        set_prices(used, PRICES, effective_from=later + timedelta(days=1))
        assert price_changes.tell(later) == 0

    def test_prices_of_somebody_elses_list_are_not_told(self, used: Model) -> None:
        version = PriceVersion(model=used, effective_from=self.AHEAD, created_at=NOW)
        version.price_list = PriceList.objects.create(name="Somebody's", created_at=NOW)
        version.save()
        assert price_changes.tell(NOW) == 0

    def test_a_shut_down_is_told_with_what_to_use_instead(self, used: Model, delivered: Delivered) -> None:
        from django.core import mail

        used.shut_down_at, used.successor = self.AHEAD, make_model("better")
        used.save()
        assert price_changes.tell(NOW) == 1
        assert price_changes.tell(NOW) == 0
        assert delivered()[0][1] == "[Keymeter] Acme: model demo-chat is shut down on 2026-03-15"
        assert "Use better instead." in mail.outbox[0].body
