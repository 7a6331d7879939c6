"""Who settles, refunds, redeems and changes a plan at once waits for the others: none locks what another waits for."""

import pytest
from django.db import transaction

from accounts.models import Organization
from billing import ledger
from billing.models import PromotionCode, Subscription, TopUp
from billing.payments import charging, payers, settling, topping_up
from billing.promotions import redeeming
from tests.at_once import Meanwhile
from tests.billing.payments.plan_due import now
from tests.cast import DOLLAR, make_top_up, make_user
from tests.devstack.stripeserver.shop import Shop
from tests.paying import save_card

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def asked(subscription: Subscription, shop: Shop) -> TopUp:
    """The fee of a period that has come due, asked for by card; nobody has looked what became of it."""
    card = save_card(shop, subscription.organization)
    top_up = topping_up.new(subscription.organization, 2000, 20 * DOLLAR, actor=None, now=now())
    top_up.way, top_up.card, top_up.customer = TopUp.Way.PLAN, card, card.customer
    top_up.subscription, top_up.period = subscription, 2
    top_up.save()
    charging._create(top_up, present=False)
    return top_up


def test_a_plan_fee_that_is_settled_and_a_change_of_the_plan(organization: Organization, asked: TopUp) -> None:
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        settling_ = Meanwhile(lambda: settling.look(asked, now=now()))
        ledger.lock([organization.pk])
    settling_.ends()
    assert TopUp.objects.get().state == TopUp.State.PAID
    assert Subscription.objects.get().number == 2


def test_a_plan_fee_that_is_settled_and_a_refund_of_it(organization: Organization, asked: TopUp) -> None:
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        settling_ = Meanwhile(lambda: settling.look(asked, now=now()))
        payers.locked(asked)
    settling_.ends()
    assert TopUp.objects.get().state == TopUp.State.PAID


def test_a_code_that_is_redeemed_and_one_that_comes_with_a_payment(organization: Organization, shop: Shop) -> None:
    staff = make_user("staff@example.com", is_staff=True)
    code = PromotionCode.objects.create(code="WELCOME", nanos=DOLLAR, created_at=now(), created_by=staff)
    top_up = make_top_up(organization, 25)
    redeeming.promise(top_up, code)
    with transaction.atomic():
        ledger.lock([organization.pk])
        member = Meanwhile(lambda: redeeming.redeem(organization, "welcome", actor=staff, now=now()))
        redeeming.keep(top_up, now())
    with pytest.raises(redeeming.CodeError, match="redeemed this code already"):
        member.ends()
