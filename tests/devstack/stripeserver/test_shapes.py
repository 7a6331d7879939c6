"""Every object that is served is whole: it has the fields of Stripe's samples, with types that the library declares."""

import json
import urllib.request
from functools import cache
from typing import Any

from devstack.stripeserver.cards import BANK_ACCOUNTS
from devstack.stripeserver.resources.table import ROUTES
from tests.devstack.stripeserver.shapes import (
    COPY,
    SAMPLES,
    SERVED,
    against_class,
    against_library,
    against_sample,
    made_from_samples,
    shape,
)
from tests.devstack.stripeserver.shop import KEY, RETURN, Inbox, Shop, bank_account, card, visit

LISTS = [
    route.path for route in ROUTES if route.method == "GET" and "{" not in route.path and route.path != "/v1/balance"
]


def get(shop: Shop, path: str) -> Any:
    request = urllib.request.Request(shop.address + path, headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


@cache
def samples() -> dict[str, Any]:
    return made_from_samples() if SAMPLES.exists() else dict(json.loads(COPY.read_text()))


def problems(thing: dict[str, Any]) -> list[str]:
    """Against the samples and against the library."""
    kind = ("deleted_" if thing.get("deleted") else "") + thing["object"]
    return against_sample(thing, samples()[kind], kind) + against_class(thing, kind)


def live_through_everything(shop: Shop, hook: Inbox) -> None:
    """All objects in all their states; the events have them as they were in each."""
    v1 = shop.stripe.v1
    ann = shop.customer(name="Ann", metadata={"a": "1"}, address={"city": "Bern"})
    method = shop.saved_card(ann.id)
    v1.customers.update(ann.id, {"invoice_settings": {"default_payment_method": method.id}, "phone": "1"})
    shop.pay(method.id, customer=ann.id, off_session=True)
    v1.refunds.create({"payment_intent": shop.pay("pm_card_refundFail").id, "amount": 100})
    v1.refunds.create({"payment_intent": shop.pay("pm_card_pendingRefund").id, "reason": "duplicate"})
    for each in ("pm_card_createDispute", "pm_card_createDisputeInquiry", "pm_card_authenticationRequired"):
        shop.pay(each)
    v1.payment_intents.cancel(shop.pay(capture_method="manual").id)
    v1.payment_intents.capture(shop.pay(capture_method="manual").id)
    for number in ("4242424242424242", "4000000000000002", "4000002760003184"):
        for session in (shop.session(customer=ann.id), shop.session(), saving(shop, ann.id)):
            visit(str(session.url), **card(number))
    v1.checkout.sessions.expire(shop.session().id)
    for account in BANK_ACCOUNTS:
        session = shop.session(allowed_payment_method_types=["us_bank_account"])
        visit(str(session.url), **bank_account(account.number))
        shop.quiet()
        if not account.charged:
            intent = v1.checkout.sessions.retrieve(session.id).payment_intent
            v1.refunds.create({"payment_intent": str(intent)})
    v1.payment_methods.detach(method.id)
    shop.quiet()
    [inquiry, dispute] = sorted(v1.disputes.list().data, key=lambda each: each.status, reverse=True)
    v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    v1.disputes.close(inquiry.id)
    shop.quiet()


def saving(shop: Shop, customer: str) -> Any:
    fields: dict[str, Any] = {
        "mode": "setup",
        "currency": "usd",
        "customer": customer,
        "success_url": RETURN,
        "line_items": None,
    }
    return shop.session(**fields)


def test_every_object_in_every_state_is_whole(shop: Shop, hook: Inbox) -> None:
    live_through_everything(shop, hook)
    things = [get(shop, "/v1/balance")]
    for path in LISTS:
        found = get(shop, path + "?limit=100")["data"]
        assert found, path
        things += found
    things += [event["data"]["object"] for event in things if event["object"] == "event"]
    sessions = [each for each in things if each["object"] == "checkout.session" and each["mode"] == "payment"]
    items = get(shop, f"/v1/checkout/sessions/{sessions[0]['id']}/line_items")["data"]
    things += [*items, items[0]["price"]]
    assert sorted({found for thing in things for found in problems(thing)}) == []
    states = {(each["object"], each["status"]) for each in things if "status" in each}
    assert {status for kind, status in states if kind == "payment_intent"} >= {
        "requires_confirmation",
        "requires_payment_method",
        "requires_action",
        "requires_capture",
        "processing",
        "canceled",
        "succeeded",
    }
    assert {status for kind, status in states if kind == "checkout.session"} == {"open", "complete", "expired"}


def test_what_no_list_has_is_whole_too(shop: Shop) -> None:
    v1, ann = shop.stripe.v1, shop.customer()
    portal = v1.billing_portal.sessions.create({"customer": ann.id, "return_url": RETURN})
    flow = {
        "type": "payment_method_update",
        "after_completion": {"type": "redirect", "redirect": {"return_url": RETURN}},
    }
    into = v1.billing_portal.sessions.create({"customer": ann.id, "flow_data": flow})  # type: ignore[arg-type]
    endpoint = v1.webhook_endpoints.create({"url": "http://127.0.0.1:9/", "enabled_events": ["*"]})
    removed = v1.webhook_endpoints.delete(endpoint.id)
    gone = v1.customers.delete(ann.id)
    things = [each.to_dict() for each in (portal, into, endpoint, removed, gone)]
    assert [problems(thing) for thing in things] == [[]] * 5


def test_the_copy_has_what_is_served_and_is_what_the_samples_say() -> None:
    copy = json.loads(COPY.read_text())
    assert set(copy) == set(SERVED)
    assert not SAMPLES.exists() or copy == made_from_samples()


def test_what_is_wrong_is_found(shop: Shop) -> None:
    thing = get(shop, f"/v1/customers/{shop.customer().id}")
    wanted = shape(thing)
    del thing["invoice_settings"]["footer"], thing["created"]
    thing |= {"balance": "0", "colour": "red", "tax_exempt": "perhaps"}
    assert against_sample(thing, wanted, "c") == [
        "c.created is missing",
        "c.balance should be a number, not '0'",
        "c.invoice_settings.footer is missing",
    ]
    found = "\n".join(against_class(thing, "c"))
    for problem in ("c.colour isn't Stripe's", "c.created is missing", "c.balance", "c.tax_exempt: 'perhaps'"):
        assert problem in found
    assert against_library(None, int, "x")
