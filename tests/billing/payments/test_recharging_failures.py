"""Auto-recharge: a card that says no is not asked again and again; a bank that asks gets its customer."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail

from accounts.models import Organization
from billing.models import AutoRecharge, NoticeMail, TopUp
from billing.notices import mailing
from billing.payments import charging, healing, recharge_choices
from tests.billing.payments.refilling import again, now, right, told
from tests.devstack.stripeserver.shop import Shop, visit
from tests.paying import save_card

pytestmark = pytest.mark.django_db(transaction=True)
CREATE = "POST /v1/payment_intents"
DECLINES = "pm_card_chargeCustomerFail"
State = TopUp.State


class TestFailures:
    def test_akash_3756_a_card_that_declines_is_asked_three_times_in_all(self, low: Organization, shop: Shop) -> None:
        """There, it was asked 486 times."""
        save_card(shop, low, DECLINES)
        start = now()
        for minute in range(0, 60 * 24, 5):
            again(low, start + timedelta(minutes=minute))
        tries = list(TopUp.objects.order_by("pk").values_list("created_at", flat=True))
        assert [round((one - start) / timedelta(minutes=1)) for one in tries] == [0, 60, 420]
        assert len(shop.stripe.v1.payment_intents.list().data) == 3
        own = AutoRecharge.objects.get()
        assert own.stopped_at and "said no 3 times" in own.stopped_why
        assert told() == ["declined", "declined", "stopped"]
        right(low, shop, 4)

    def test_one_that_works_again_begins_to_count_anew(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low, DECLINES)
        again(low, now())
        assert AutoRecharge.objects.get().failures == 1
        save_card(shop, low)
        shop.stripe.v1.payment_methods.detach(TopUp.objects.get().card.payment_method)  # type: ignore[union-attr]
        healing.cards.look(low, now=now())
        assert again(low, now()) is None
        top_up = again(low, now() + timedelta(minutes=61))
        assert top_up and top_up.state == State.PAID
        assert AutoRecharge.objects.get().failures == 0
        right(low, shop, 29)

    def test_a_person_starts_it_again(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low)
        AutoRecharge.objects.update(stopped_at=now(), stopped_why="It said no.", failures=3)
        recharge_choices.start_again(low, actor=None, now=now())
        assert again(low, now())
        right(low, shop, 29)

    def test_starting_again_and_again_asks_once_a_minute_at_most(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low, DECLINES)
        for _ in range(5):
            recharge_choices.start_again(low, actor=None, now=now())
            again(low, now())
        assert len(shop.stripe.v1.payment_intents.list().data) == 1

    def test_stripe_away_is_no_failure_of_the_card(self, low: Organization, shop: Shop, settings: Any) -> None:
        save_card(shop, low)
        shop.control("faults", {"fault": "rate_limit", "route": CREATE})
        again(low, now())
        assert (TopUp.objects.get().state, AutoRecharge.objects.get().failures) == (State.FAILED, 0)


class TestTheBankWantsItsCustomer:
    def test_a_link_is_mailed_and_works_once(self, low: Organization, told_too: Shop) -> None:
        save_card(told_too, low, "pm_card_authenticationRequired")
        top_up = again(low, now())
        assert top_up and top_up.awaits_customer
        assert top_up.closes_at > now() + timedelta(hours=23)
        [waiting] = NoticeMail.objects.all()
        mailing.send(waiting.pk, now())
        assert f"/billing/top-ups/{top_up.public_id}/" in mail.outbox[0].body
        # Nothing else is tried while it waits.
        assert again(low, now() + timedelta(hours=5)) is None
        assert top_up.card
        confirmed = charging.confirm(top_up, top_up.card, present=True, now=now())
        visit(confirmed.pay_url, outcome="complete")
        told_too.quiet()
        right(low, told_too, 29)
        assert AutoRecharge.objects.get().failures == 0

    def test_what_nobody_confirms_counts_as_a_no(self, low: Organization, shop: Shop) -> None:
        save_card(shop, low, "pm_card_authenticationRequired")
        again(low, now())
        healing.heal(lambda: now() + timedelta(days=1, minutes=1))
        assert (TopUp.objects.get().state, AutoRecharge.objects.get().failures) == (State.FAILED, 1)
        right(low, shop, 4)

    @pytest.fixture
    def told_too(self, shop: Shop, told: Shop) -> Shop:
        return told
