from datetime import timedelta

import pytest

from accounts.models import Organization
from billing import tasks
from billing.models import Subscription, TopUp
from billing.payments import plan_fees
from billing.plans import choosing
from tests.billing.payments.plan_due import FEE
from tests.billing.payments.refilling import now, on
from tests.billing.payments.refunded import pay_and_settle
from tests.cast import DOLLAR, give_credit, make_organization, make_plan
from tests.devstack.stripeserver.shop import Shop
from tests.paying import begin, pay, shop, stripe_server, told, twist

__all__ = ["shop", "stripe_server", "told", "twist"]


@pytest.fixture
def organization(transactional_db: None, empty_valkey: object) -> Organization:
    return make_organization("Acme")


@pytest.fixture
def low(organization: Organization, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Organization:
    """$4, below the threshold of $10; nothing is done by itself here."""
    monkeypatch.setattr(tasks.recharge_balance, "apply_async", lambda *_, **__: None)
    give_credit(organization, 4 * DOLLAR)
    on(organization)
    return organization


@pytest.fixture
def subscription(organization: Organization, shop: Shop) -> Subscription:
    """Of $20 a month without credit; the first period is over since an hour, and the balance is $3."""
    ended = now() - timedelta(hours=1)
    began = (ended.replace(day=1) - timedelta(days=1)).replace(day=min(ended.day, 28))
    give_credit(organization, (FEE + 3) * DOLLAR, now=began)
    version = make_plan(fee_nanos=FEE * DOLLAR, included_credit_nanos=0)
    made = choosing.choose(organization, version, actor=None, now=began)
    plan_fees.let_pay(organization, by_card=True, actor=None, now=now())
    return Subscription.objects.select_related("organization").get(pk=made.pk)


@pytest.fixture
def paid(organization: Organization, shop: Shop) -> TopUp:
    """Of $25, credited."""
    return pay_and_settle(organization)


@pytest.fixture
def untold(organization: Organization, shop: Shop) -> TopUp:
    """Of $25, paid at Stripe; nobody has told us yet."""
    top_up = begin(organization)
    pay(top_up)
    return top_up
