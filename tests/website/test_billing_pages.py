"""Billing and plans in the console: what members see, what owners change, what it costs before it does."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Organization, User
from billing.models import Balance, PlanVersion, Subscription
from billing.plans.choosing import choose
from billing.plans.offering import Offer, add_version, archive
from billing.plans.renewing import renew_due
from hotstate.records import Limits
from tests.cast import DOLLAR, give_credit, make_plan

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_valkey")]
Browse = Callable[[User], Client]


@pytest.fixture
def address(organization: Organization) -> str:
    give_credit(organization, 100 * DOLLAR)
    return f"/o/{organization.public_id}/billing/"


def shown(browser: Client, address: str) -> dict[str, str]:
    """The form of a page, as a browser would send it."""
    form = browser.get(address).context["form"]
    return {name: str(form[name].value()) for name in form.fields}


def test_who_has_no_plan_is_led_to_them(browse: Browse, owner: User, address: str) -> None:
    make_plan(limits=Limits(requests_per_minute=600), discount_bp=1250)
    browser = browse(owner)
    page = browser.get(address).content.decode()
    assert "No plan: requests are paid from the balance" in page
    plans = browser.get(f"{address}plans/").content.decode()
    assert "Choose Pro" in plans
    assert "12.5% off" in plans


def test_a_plan_is_chosen_for_what_was_shown(
    browse: Browse, owner: User, organization: Organization, address: str
) -> None:
    make_plan()
    browser = browse(owner)
    page = browser.get(f"{address}plans/pro/").content.decode()
    assert "$20.000000000" in page
    answer = browser.post(f"{address}plans/pro/", shown(browser, f"{address}plans/pro/"), follow=True)
    assert "Pro has begun." in answer.content.decode()
    assert "0%" in answer.content.decode()
    assert Balance.objects.get(organization=organization).nanos == 90 * DOLLAR


def test_a_change_shows_its_proration_and_posts_it(
    browse: Browse, owner: User, organization: Organization, address: str
) -> None:
    now = datetime.now(UTC)
    choose(organization, make_plan(), actor=owner, now=now - timedelta(days=10))
    make_plan("max", fee_nanos=50 * DOLLAR)
    browser, before = browse(owner), Balance.objects.get(organization=organization).nanos
    offer = browser.get(f"{address}plans/max/").context["offer"]
    assert 0 < offer.rest.refund_nanos < 20 * DOLLAR
    sent = {"when": "now", "at": offer.at.isoformat(), "shown": str(offer.net_nanos)}
    assert browser.post(f"{address}plans/max/", sent).status_code == 302
    assert Balance.objects.get(organization=organization).nanos == before - offer.needed_nanos


def test_a_change_can_wait_for_the_periods_end_and_be_taken_back(
    browse: Browse, owner: User, organization: Organization, address: str
) -> None:
    choose(organization, make_plan(), actor=owner, now=datetime.now(UTC))
    make_plan("max")
    browser = browse(owner)
    sent = {**shown(browser, f"{address}plans/max/"), "when": "end"}
    answer = browser.post(f"{address}plans/max/", sent, follow=True)
    assert "Max begins when the period that is paid ends." in answer.content.decode()
    assert "Keep Pro" in answer.content.decode()
    browser.post(f"{address}plan/keep/")
    assert Subscription.objects.get().next_version is None


def test_what_is_not_covered_is_said_and_nothing_happens(browse: Browse, owner: User, address: str) -> None:
    make_plan(fee_nanos=200 * DOLLAR)
    browser = browse(owner)
    answer = browser.post(f"{address}plans/pro/", shown(browser, f"{address}plans/pro/"))
    assert "The balance doesn&#x27;t cover the fee" in answer.content.decode()
    assert not Subscription.objects.exists()


def test_what_was_shown_too_long_ago_is_shown_again(browse: Browse, owner: User, address: str) -> None:
    make_plan()
    browser = browse(owner)
    old = {"when": "now", "at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(), "shown": "0"}
    answer = browser.post(f"{address}plans/pro/", old)
    assert "look again" in answer.content.decode()
    form = answer.context["form"]
    again = {name: str(form[name].value()) for name in form.fields}
    assert browser.post(f"{address}plans/pro/", again).status_code == 302


def test_it_ends_with_its_period_or_at_once(
    browse: Browse, owner: User, organization: Organization, address: str
) -> None:
    choose(organization, make_plan(), actor=owner, now=datetime.now(UTC) - timedelta(days=3))
    browser = browse(owner)
    sent = shown(browser, f"{address}plan/cancel/")
    assert sent["when"] == "end"
    browser.post(f"{address}plan/cancel/", sent)
    assert Subscription.objects.get().cancels_at_end
    answer = browser.post(f"{address}plan/cancel/", {**sent, "when": "now"}, follow=True)
    assert "The plan has ended." in answer.content.decode()
    assert browser.get(f"{address}plan/cancel/").status_code == 302


def test_a_plan_that_could_not_be_paid_says_until_when_and_can_be_paid(
    browse: Browse, owner: User, organization: Organization, address: str
) -> None:
    started = datetime.now(UTC) - timedelta(days=40)
    choose(organization, make_plan(fee_nanos=60 * DOLLAR), actor=owner, now=started)
    renew_due(datetime.now(UTC))
    browser = browse(owner)
    assert "couldn't be renewed" in browser.get(address).content.decode()
    answer = browser.post(f"{address}plan/pay/", follow=True)
    assert "doesn&#x27;t cover the fee yet" in answer.content.decode()
    give_credit(organization, 30 * DOLLAR, key="more")
    assert "The plan is paid." in browser.post(f"{address}plan/pay/", follow=True).content.decode()


def test_viewers_look_and_outsiders_find_nothing(browse: Browse, viewer: User, outsider: User, address: str) -> None:
    make_plan()
    for page in ("", "plans/"):
        assert browse(viewer).get(address + page).status_code == 200
        assert browse(outsider).get(address + page).status_code == 404
    for page in ("plans/pro/", "plan/cancel/"):
        assert browse(viewer).get(address + page).status_code == 403
        assert browse(outsider).get(address + page).status_code == 404
    for page in ("plans/pro/", "plan/cancel/", "plan/keep/", "plan/pay/"):
        assert browse(viewer).post(address + page).status_code == 403
        assert browse(outsider).post(address + page).status_code == 404


def test_private_archived_and_unknown_plans_are_not_to_be_had(browse: Browse, owner: User, address: str) -> None:
    make_plan("secret", public=False)
    archive(make_plan("old").plan, archived=True, actor=owner, reason="", now=datetime.now(UTC))
    for slug in ("secret", "old", "none"):
        assert browse(owner).get(f"{address}plans/{slug}/").status_code == 404
    page = browse(owner).get(f"{address}plans/").content.decode()
    assert "There are no plans to choose from" in page


def test_who_has_an_earlier_version_is_told_so(
    browse: Browse, owner: User, organization: Organization, address: str
) -> None:
    version = make_plan()
    choose(organization, version, actor=owner, now=datetime.now(UTC))
    offer = Offer(period=PlanVersion.Period.MONTH, fee_nanos=DOLLAR)
    add_version(version.plan, offer, actor=None, reason="", now=datetime.now(UTC))
    assert "yours, in an earlier version" in browse(owner).get(f"{address}plans/").content.decode()


@pytest.mark.parametrize("wrong", [{"at": "x"}, {"shown": "1e9"}, {"when": "never"}, {"at": "9999-12-31T23:59:59"}])
def test_strange_input_changes_nothing(browse: Browse, owner: User, address: str, wrong: dict[str, str]) -> None:
    make_plan()
    browser = browse(owner)
    sent = {**shown(browser, f"{address}plans/pro/"), **wrong}
    assert browser.post(f"{address}plans/pro/", sent).status_code == 200
    assert not Subscription.objects.exists()


def test_pages_ask_few_questions(browse: Browse, owner: User, organization: Organization, address: str) -> None:
    choose(organization, make_plan(), actor=owner, now=datetime.now(UTC))
    for number in range(30):
        make_plan(f"plan-{number}")
        give_credit(organization, DOLLAR, key=str(number))
    browser = browse(owner)
    for page in (address, f"{address}plans/", f"{address}plans/plan-1/"):
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert browser.get(page).status_code == 200
        assert len(asked) <= 20, [query["sql"] for query in asked]
