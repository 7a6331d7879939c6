"""Billing details: on what is made out from then on, and told to Stripe, also where it was away."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from pypdf import PdfReader

from accounts.models import ApiKey, Organization, User
from accounts.models.audit import AuditEntry
from billing.models import BillingDetails, TopUp
from billing.payments import billing_details, customers, healing
from billing.statements import drawing
from catalog.models import Model
from tests.cast import DOLLAR, give_credit, make_top_up
from tests.devstack.stripeserver.shop import Shop
from tests.website.browsing import use
from tests.website.test_statement_pages import YESTERDAY, close_yesterday

Browse = Callable[[User], Client]
TYPED = {
    "name": "Acme GmbH",
    "line1": "Hauptstraße 1",
    "line2": "",
    "postal_code": "10115",
    "city": "Berlin",
    "state": "",
    "country": "de",
    "tax_id": "de123456789",
}
LINES = ["Acme GmbH", "Hauptstraße 1", "10115 Berlin", "DE", "Tax ID DE123456789"]


def now() -> datetime:
    return datetime.now(UTC)


def change(organization: Organization, **fields: str) -> None:
    typed = TYPED | {"country": "DE", "tax_id": "DE123456789"} | fields
    billing_details.change(organization, typed, actor=None, now=now())


@pytest.fixture
def address(organization: Organization) -> str:
    return f"/o/{organization.public_id}/billing/"


class TestForm:
    def test_they_are_kept_and_audited(
        self, browse: Browse, owner: User, organization: Organization, address: str
    ) -> None:
        browser = browse(owner)
        assert 'value="Acme"' in browser.get(f"{address}details/").content.decode()
        for _ in range(2):
            assert "Saved." in browser.post(f"{address}details/", TYPED, follow=True).content.decode()
        own = BillingDetails.objects.get()
        assert (own.lines, own.version) == (LINES, 1)
        entry = AuditEntry.objects.get(action="billing_details.change")
        assert (entry.actor, entry.after["city"]) == (owner, "Berlin")

    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            ({"name": ""}, "required"),
            ({"country": "ZZ"}, "There is no country with this code"),
            ({"country": ""}, "An address needs its country"),
            ({"tax_id": "<b>"}, "A tax ID has letters"),
            ({"name": "x" * 201}, "at most 200"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, browse: Browse, owner: User, address: str, typed: dict[str, str], words: str
    ) -> None:
        answer = browse(owner).post(f"{address}details/", TYPED | typed)
        assert answer.status_code == 200
        assert words in answer.content.decode()
        assert not BillingDetails.objects.exists()

    def test_others_may_not(self, browse: Browse, viewer: User, address: str) -> None:
        assert browse(viewer).post(f"{address}details/", TYPED).status_code == 403
        assert browse(viewer).get(f"{address}details/").status_code == 403


class TestMadeOut:
    def test_a_receipt_keeps_what_was_true_when_it_was_paid(
        self, browse: Browse, owner: User, organization: Organization, address: str
    ) -> None:
        before = make_top_up(organization)
        change(organization)
        paid = make_top_up(organization)
        change(organization, city="Köln", name="Other <b>GmbH</b>")
        browser = browse(owner)
        receipt = browser.get(f"{address}top-ups/{paid.public_id}/receipt/").content.decode()
        assert "<br>".join(LINES) in receipt
        assert "Tax included" in receipt
        assert "Berlin" not in browser.get(f"{address}top-ups/{before.public_id}/receipt/").content.decode()
        newest = make_top_up(organization).public_id
        assert "Other &lt;b&gt;GmbH" in browser.get(f"{address}top-ups/{newest}/receipt/").content.decode()

    def test_a_statement_has_them_at_its_head(self, browse: Browse, owner: User, key: ApiKey, model: Model) -> None:
        change(key.organization)
        give_credit(key.organization, 2 * DOLLAR, now=now() - timedelta(days=1))
        use(key, model, at=now() - timedelta(days=1))
        close_yesterday()
        drawn = drawing.draw(key.organization, YESTERDAY, now=now())
        change(key.organization, name="Other")
        browser, here = browse(owner), f"/o/{key.organization.public_id}/statements/{drawn.number}/"
        assert " · ".join(LINES) in browser.get(here).content.decode()
        pdf = PdfReader(io.BytesIO(browser.get(f"{here}statement.pdf").getvalue()))  # type: ignore[attr-defined]
        assert "Hauptstraße 1" in pdf.pages[0].extract_text()

    def test_nothing_is_taxed_yet(self, organization: Organization) -> None:
        make_top_up(organization)
        assert TopUp.objects.get().tax == 0
        with pytest.raises(IntegrityError), transaction.atomic():
            TopUp.objects.update(tax=1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("empty_valkey")
class TestStripeIsTold:
    def test_when_they_change(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str
    ) -> None:
        customer = customers.customer_of(organization, now=now())
        browse(owner).post(f"{address}details/", TYPED)
        known = shop.stripe.v1.customers.retrieve(customer)
        assert known.address
        assert (known.name, known.address.city, known.address.country) == ("Acme GmbH", "Berlin", "DE")
        assert known.metadata
        assert known.metadata["tax_id"] == "DE123456789"
        assert known.metadata["organization"] == organization.public_id

    @pytest.mark.parametrize("fault", ["error_before", "cut", "rate_limit"])
    def test_later_where_it_was_away(
        self, browse: Browse, owner: User, organization: Organization, shop: Shop, address: str, fault: str
    ) -> None:
        customer = customers.customer_of(organization, now=now())
        shop.control("faults", {"fault": fault, "route": "POST /v1/customers/{id}"})
        assert "Saved." in browse(owner).post(f"{address}details/", TYPED, follow=True).content.decode()
        healing.heal(now)
        assert shop.stripe.v1.customers.retrieve(customer).name == "Acme GmbH"
        assert list(billing_details.untold()) == []

    def test_once_it_has_the_customer(self, organization: Organization, shop: Shop) -> None:
        change(organization)
        billing_details.send(organization)
        customer = customers.customer_of(organization, now=now())
        healing.heal(now)
        assert shop.stripe.v1.customers.retrieve(customer).name == "Acme GmbH"
