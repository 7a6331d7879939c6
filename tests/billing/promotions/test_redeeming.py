"""Promotion codes: each organization has each code's credit once, and a code is used no more often than it may be."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.models import AuditEntry, Organization, User
from billing.models import Balance, CreditGrant, PromotionCode, PromotionRedemption, TopUp
from billing.payments import settling
from billing.promotions import offering, redeeming
from billing.promotions.redeeming import CodeError
from billing.proofs.proving import prove
from tests.at_once import at_once
from tests.cast import DOLLAR, make_organization, make_top_up, make_user

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _valkey(empty_valkey: object) -> None:
    """Balances are told to one."""


@pytest.fixture
def staff(db: None) -> User:
    return make_user("staff@example.com", is_staff=True)


@pytest.fixture
def organization(db: None) -> Organization:
    return make_organization("Acme")


@pytest.fixture
def code(staff: User) -> PromotionCode:
    return make(staff)


def make(staff: User, typed: str = "welcome-10", **fields: Any) -> PromotionCode:
    terms: dict[str, Any] = {
        "note": "",
        "first_top_up_only": False,
        "expires_at": NOW + timedelta(days=30),
        "credit_days": 60,
        "uses_most": None,
        **fields,
    }
    return offering.create(typed, 10 * DOLLAR, actor=staff, now=NOW, **terms)


def redeem(organization: Organization, typed: str = "WELCOME-10", now: datetime = NOW) -> PromotionRedemption:
    actor = organization.members.get()
    return redeeming.redeem(organization, typed, actor=actor, now=now)


def balance(organization: Organization) -> int:
    return Balance.objects.filter(organization=organization).values_list("nanos", flat=True).first() or 0


class TestRedeeming:
    @pytest.mark.parametrize("typed", ["WELCOME-10", "welcome-10", "  Welcome-10 ", "welcome -10"])
    def test_however_it_is_typed(self, organization: Organization, code: PromotionCode, typed: str) -> None:
        redeem(organization, typed)
        grant = CreditGrant.objects.get(organization=organization)
        assert (grant.source, grant.amount_nanos) == (CreditGrant.Source.PROMOTION, 10 * DOLLAR)
        assert grant.expires_at == NOW + timedelta(days=60)
        assert AuditEntry.objects.get(action="promotion.redeem").organization == organization
        assert {result.name for result in prove(NOW) if not result.ok} <= {"nothing_stuck"}

    def test_once_per_organization(self, organization: Organization, code: PromotionCode) -> None:
        redeem(organization)
        with pytest.raises(CodeError, match="redeemed this code already"):
            redeem(organization)
        redeem(make_organization("Elsewhere"))
        code.refresh_from_db()
        assert (code.uses, balance(organization)) == (2, 10 * DOLLAR)

    def test_lago_4945_many_at_once_have_it_once(self, organization: Organization, code: PromotionCode) -> None:
        """There, a coupon was applied twice at once."""
        failures = at_once(*[lambda: redeem(organization)] * 5)
        assert [type(failure) for failure in failures] == [CodeError] * 4
        assert balance(organization) == 10 * DOLLAR

    def test_the_database_refuses_a_second_redemption(self, organization: Organization, code: PromotionCode) -> None:
        made = redeem(organization)
        other = redeem(make_organization("Elsewhere"))
        with pytest.raises(IntegrityError), transaction.atomic():
            PromotionRedemption.objects.filter(pk=other.pk).update(organization_id=made.organization_id)

    def test_a_limited_one_goes_to_so_many(self, staff: User) -> None:
        made = make(staff, uses_most=2)
        organizations = [make_organization(f"Number {number}") for number in range(5)]
        failures = at_once(*[lambda mine=mine: redeem(mine) for mine in organizations])  # type: ignore[misc]
        assert len(failures) == 3
        made.refresh_from_db()
        assert (made.uses, made.redemptions.count()) == (2, 2)
        with pytest.raises(IntegrityError), transaction.atomic():
            PromotionCode.objects.update(uses=3)

    def test_what_a_guess_would_learn_from_is_answered_alike(self, organization: Organization, staff: User) -> None:
        make(staff, "used-up", uses_most=1)
        redeem(make_organization("Elsewhere"), "used-up")
        make(staff, "expired", expires_at=NOW + timedelta(seconds=1))
        offering.stop(make(staff, "stopped"), actor=staff, now=NOW)
        told = set()
        for typed in ("nothing-such", "used-up", "expired", "stopped", "!", "x" * 60, ""):
            with pytest.raises(CodeError) as error:
                redeem(organization, typed, now=NOW + timedelta(seconds=1))
            told.add((str(error.value), error.value.guess))
        assert told == {(redeeming.UNUSABLE, True)}
        assert balance(organization) == 0

    def test_credit_without_an_end(self, organization: Organization, staff: User) -> None:
        make(staff, "for-ever", credit_days=None)
        redeem(organization, "for-ever")
        assert CreditGrant.objects.get(organization=organization).expires_at is None


class TestWithAFirstTopUp:
    @pytest.fixture
    def code(self, staff: User) -> PromotionCode:
        return make(staff, first_top_up_only=True)

    def begun(self, organization: Organization, code: PromotionCode) -> TopUp:
        top_up = make_top_up(organization, paid=False, now=NOW)
        redeeming.promise(top_up, redeeming.check(organization, code.code, now=NOW))
        return top_up

    def pay(self, top_up: TopUp, now: datetime = NOW) -> None:
        with transaction.atomic():
            settling.credit(top_up, now)
            top_up.save()

    def test_it_comes_when_that_is_paid_and_not_before(self, organization: Organization, code: PromotionCode) -> None:
        with pytest.raises(CodeError, match="comes with a first top-up"):
            redeem(organization)
        top_up = self.begun(organization, code)
        assert balance(organization) == 0
        # It expired while the bank took its time.
        self.pay(top_up, now=NOW + timedelta(days=31))
        assert balance(organization) == 35 * DOLLAR

    def test_not_with_a_second_one(self, organization: Organization, code: PromotionCode) -> None:
        first, second = self.begun(organization, code), self.begun(organization, code)
        make_top_up(organization, now=NOW)
        with pytest.raises(CodeError, match="has topped up before"):
            redeeming.check(organization, code.code, now=NOW)
        self.pay(first)
        self.pay(second)
        assert balance(organization) == 75 * DOLLAR

    def test_two_codes_with_two_first_ones_paid_at_once_give_one(
        self, organization: Organization, staff: User, code: PromotionCode
    ) -> None:
        first = self.begun(organization, code)
        second = self.begun(organization, make(staff, "other", first_top_up_only=True))
        assert at_once(lambda: self.pay(first), lambda: self.pay(second)) == []
        assert balance(organization) == 60 * DOLLAR

    def test_one_that_was_stopped_meanwhile_gives_nothing_and_the_payment_counts(
        self, organization: Organization, staff: User, code: PromotionCode
    ) -> None:
        top_up = self.begun(organization, code)
        offering.stop(code, actor=staff, now=NOW)
        self.pay(top_up)
        assert balance(organization) == 25 * DOLLAR


class TestMaking:
    def test_it_is_audited_and_there_once(self, staff: User, code: PromotionCode) -> None:
        assert AuditEntry.objects.get(action="promotion.create").target == "WELCOME-10"
        with pytest.raises(CodeError, match="There is such a code"):
            make(staff, "Welcome-10")
        offering.stop(code, actor=staff, now=NOW)
        offering.stop(code, actor=staff, now=NOW)
        assert AuditEntry.objects.filter(action="promotion.stop").count() == 1

    @pytest.mark.parametrize("typed", ["", "abc", "a" * 41, "with_underscore", "żółć"])
    def test_odd_ones_are_refused(self, staff: User, typed: str) -> None:
        with pytest.raises(CodeError):
            make(staff, typed)

    def test_one_that_would_have_expired_is_refused(self, staff: User) -> None:
        with pytest.raises(CodeError, match="expired already"):
            make(staff, expires_at=NOW)
