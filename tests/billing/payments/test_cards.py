"""Saved cards: what Stripe keeps is what is shown and paid with, also where webhooks and answers are lost."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import Organization
from accounts.models.audit import AuditEntry
from billing.models import SavedCard
from billing.payments import calling, cards, customers, healing
from tests.cast import make_organization
from tests.devstack.stripeserver.shop import Shop, card, visit
from tests.paying import begin, pay, save_card

pytestmark = pytest.mark.django_db(transaction=True)


def now() -> datetime:
    return datetime.now(UTC)


def shown(organization: Organization) -> list[tuple[str, bool]]:
    return [(str(one), one.is_default) for one in cards.of(organization)]


class TestSaving:
    def test_a_card_typed_on_stripes_page_is_saved(self, organization: Organization, told: Shop) -> None:
        visit(cards.add_page(organization, now=now()), **card())
        told.quiet()
        [saved] = cards.of(organization)
        assert (str(saved), saved.last4, saved.is_default) == ("Visa •••• 4242", "4242", True)
        assert saved.expiry.startswith("12/")

    def test_one_that_was_kept_with_a_top_up_is_too(self, organization: Organization, told: Shop) -> None:
        pay(begin(organization, saves_card=True), "5555555555554444")
        told.quiet()
        assert shown(organization) == [("Mastercard •••• 4444", True)]

    def test_one_that_was_not_to_be_kept_is_not(self, organization: Organization, told: Shop) -> None:
        pay(begin(organization))
        told.quiet()
        cards.look(organization, now=now())
        assert shown(organization) == []

    def test_lost_webhooks_are_made_up_for(self, organization: Organization, shop: Shop) -> None:
        visit(cards.add_page(organization, now=now()), **card())
        assert shown(organization) == []
        healing.heal(now)
        assert shown(organization) == [("Visa •••• 4242", True)]

    def test_a_declined_card_is_not_saved(self, organization: Organization, told: Shop) -> None:
        page = cards.add_page(organization, now=now())
        assert visit(page, **card("4000000000000002")).status == 402
        told.quiet()
        assert shown(organization) == []


class TestChanging:
    def test_another_one_is_made_the_default(self, organization: Organization, shop: Shop) -> None:
        first = save_card(shop, organization)
        second = save_card(shop, organization, "pm_card_mastercard")
        assert [one.is_default for one in (first, second)] == [True, False] or second.is_default
        cards.make_default(first, actor=None, now=now())
        assert shown(organization)[0] == ("Visa •••• 4242", True)
        cards.make_default(second, actor=None, now=now())
        assert shown(organization) == [("Mastercard •••• 4444", True), ("Visa •••• 4242", False)]
        at_stripe = shop.stripe.v1.customers.retrieve(first.customer)
        assert at_stripe.invoice_settings
        assert at_stripe.invoice_settings.default_payment_method == second.payment_method
        cards.look(organization, now=now())
        assert shown(organization) == [("Mastercard •••• 4444", True), ("Visa •••• 4242", False)]
        assert AuditEntry.objects.filter(action="card.make_default").count() == 2

    def test_a_removed_one_is_gone_on_both_sides(self, organization: Organization, told: Shop) -> None:
        saved = save_card(told, organization)
        cards.remove(saved, actor=None, now=now())
        told.quiet()
        assert shown(organization) == []
        assert told.stripe.v1.payment_methods.retrieve(saved.payment_method).customer is None
        cards.look(organization, now=now())
        assert shown(organization) == []
        assert AuditEntry.objects.filter(action="card.remove").exists()

    @pytest.mark.parametrize("fault", ["error_before", "error_after", "cut"])
    def test_a_removal_whose_answer_was_lost_is_looked_up(
        self, organization: Organization, shop: Shop, fault: str
    ) -> None:
        saved = save_card(shop, organization)
        shop.control("faults", {"fault": fault, "route": "POST /v1/payment_methods/{id}/detach"})
        with pytest.raises(calling.UnknownError):
            cards.remove(saved, actor=None, now=now())
        assert shown(organization) == []
        healing.heal(now)
        # Not done at Stripe: it is there again, for whoever wants it removed to see.
        assert len(shown(organization)) == (1 if fault == "error_before" else 0)

    def test_what_is_removed_in_stripes_portal_is_gone(self, organization: Organization, told: Shop) -> None:
        saved = save_card(told, organization)
        visit(cards.portal_page(organization, now=now()), do="remove", method=saved.payment_method)
        told.quiet()
        assert shown(organization) == []

    def test_a_customer_deleted_at_stripe_has_no_cards(self, organization: Organization, told: Shop) -> None:
        saved = save_card(told, organization)
        told.stripe.v1.customers.delete(saved.customer)
        told.quiet()
        assert shown(organization) == []

    def test_what_was_asked_before_does_not_bring_a_removed_one_back(
        self, organization: Organization, shop: Shop
    ) -> None:
        """A look that began earlier and is noted later says nothing new."""
        save_card(shop, organization)
        row = customers.StripeCustomer.objects.get()
        early = now()
        earlier = cards._ask(str(row.stripe_id))
        cards.remove(SavedCard.objects.get(), actor=None, now=now())
        cards.look(organization, now=now())
        cards._note(row, str(row.stripe_id), earlier, asked_at=early)
        assert shown(organization) == []


class TestWhose:
    def test_another_organizations_cards_are_not_mine(self, organization: Organization, shop: Shop) -> None:
        save_card(shop, make_organization("Other"))
        assert shown(organization) == []

    def test_another_modes_cards_are_not_offered(self, organization: Organization, shop: Shop, settings: Any) -> None:
        save_card(shop, organization)
        settings.STRIPE_SECRET_KEY = "sk_live_now"
        assert shown(organization) == []

    def test_cards_are_asked_for_again_after_a_day(self, organization: Organization, shop: Shop) -> None:
        saved = save_card(shop, organization)
        shop.stripe.v1.payment_methods.detach(saved.payment_method)
        healing.heal(now)
        assert len(shown(organization)) == 1
        healing.heal(lambda: now() + timedelta(days=1, minutes=1))
        assert shown(organization) == []
