"""Lists come newest first, in pages."""

import time

import pytest
import stripe

from tests.devstack.stripeserver.shop import Shop


@pytest.fixture
def names(shop: Shop) -> list[str]:
    """Ids of seven customers, newest first."""
    return [shop.customer(name=str(number)).id for number in range(7)][::-1]


def ids(found: stripe.ListObject[stripe.Customer]) -> list[str]:
    return [each.id for each in found.data]


def test_pages_follow_each_other_without_gap_or_repetition(shop: Shop, names: list[str]) -> None:
    customers = shop.stripe.v1.customers
    first = customers.list({"limit": 3})
    assert (ids(first), first.has_more) == (names[:3], True)
    second = customers.list({"limit": 3, "starting_after": names[2]})
    assert (ids(second), second.has_more) == (names[3:6], True)
    last = customers.list({"limit": 3, "starting_after": names[5]})
    assert (ids(last), last.has_more) == (names[6:], False)
    back = customers.list({"limit": 3, "ending_before": names[5]})
    assert (ids(back), back.has_more) == (names[2:5], True)
    assert [each.id for each in customers.list({"limit": 2}).auto_paging_iter()] == names


def test_what_is_made_meanwhile_does_not_shift_the_pages(shop: Shop, names: list[str]) -> None:
    customers = shop.stripe.v1.customers
    first = customers.list({"limit": 3})
    shop.customer()
    assert ids(customers.list({"limit": 3, "starting_after": first.data[-1].id})) == names[3:6]


def test_a_cursor_counts_by_its_place_though_the_filter_leaves_it_out(shop: Shop) -> None:
    ann, bob = shop.customer(), shop.customer()
    intents = [shop.pay(customer=who.id).id for who in (ann, bob, ann, bob)]
    found = shop.stripe.v1.payment_intents.list({"customer": ann.id, "starting_after": intents[3]})
    assert [each.id for each in found.data] == [intents[2], intents[0]]


@pytest.mark.parametrize(
    "wrong",
    [{"limit": 0}, {"limit": 101}, {"starting_after": "cus_nobody"}, {"starting_after": 0, "ending_before": 1}],
)
def test_wrong_pages_are_refused(shop: Shop, names: list[str], wrong: dict[str, object]) -> None:
    params = {name: names[value] if value in (0, 1) and name != "limit" else value for name, value in wrong.items()}
    with pytest.raises(stripe.InvalidRequestError):
        shop.stripe.v1.customers.list(params)  # type: ignore[arg-type]


def test_lists_are_filtered_by_when_things_were_made(shop: Shop) -> None:
    old = shop.customer()
    shop.control("clock", {"ahead": 100})
    new = shop.customer()
    customers, middle = shop.stripe.v1.customers, int(time.time()) + 50
    assert ids(customers.list({"created": {"gte": middle}})) == [new.id]
    assert ids(customers.list({"created": {"lt": middle}})) == [old.id]
    assert ids(customers.list({"created": {"gt": old.created, "lte": new.created}})) == [new.id]
    assert ids(customers.list({"created": new.created})) == [new.id]


def test_events_are_filtered_by_type(shop: Shop) -> None:
    shop.pay()
    shop.quiet()
    events = shop.stripe.v1.events
    assert [each.type for each in events.list({"type": "payment_intent.succeeded"}).data] == [
        "payment_intent.succeeded"
    ]
    found = {each.type for each in events.list({"types": ["charge.updated", "payment_intent.created"]}).data}
    assert found == {"charge.updated", "payment_intent.created"}
    newest = events.list().data[0].id
    older = events.list({"type": "payment_intent.created", "starting_after": newest}).data
    assert [each.type for each in older] == ["payment_intent.created"]


def test_each_list_keeps_to_what_was_asked(shop: Shop) -> None:
    v1 = shop.stripe.v1
    mine, other = shop.pay(), shop.pay()
    refund = v1.refunds.create({"payment_intent": mine.id})
    v1.refunds.create({"payment_intent": other.id})
    assert [each.id for each in v1.refunds.list({"payment_intent": mine.id}).data] == [refund.id]
    assert [each.id for each in v1.charges.list({"payment_intent": mine.id}).data] == [mine.latest_charge]
    entries = v1.balance_transactions.list({"source": refund.id}).data
    assert [each.id for each in entries] == [refund.balance_transaction]
