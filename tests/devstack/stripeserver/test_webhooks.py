"""Webhooks are signed as the library expects, retried, and go wrong on demand."""

import pytest
import stripe

from tests.devstack.stripeserver.shop import Inbox, Received, Shop, inbox


def verified(hook: Inbox, one: Received) -> stripe.Event:
    event: stripe.Event = stripe.Webhook.construct_event(one.body, one.signature, hook.secret)
    return event


def test_events_come_signed_and_in_order(shop: Shop, hook: Inbox) -> None:
    intent = shop.pay()
    shop.quiet()
    events = [verified(hook, one) for one in hook.received]
    assert [each.type for each in events] == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "charge.updated",
    ]
    assert events[2].data.object["id"] == intent.id
    assert (events[2].api_version, events[2].livemode) == (stripe.api_version, False)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(hook.received[0].body, hook.received[0].signature, "whsec_another")


def test_an_event_names_its_request_and_keeps_the_object_as_it_was(shop: Shop, hook: Inbox) -> None:
    intent = shop.pay(metadata={"a": "1"})
    made = hook.wait_for_type("payment_intent.created")
    assert made["data"]["object"]["status"] == "requires_confirmation"
    assert made["request"]["id"] == intent.last_response.request_id  # type: ignore[union-attr]
    assert made["request"]["idempotency_key"]
    shop.quiet()
    event = shop.stripe.v1.events.retrieve(made["id"])
    assert (event.data.object["status"], event.pending_webhooks) == ("requires_confirmation", 0)
    moved = hook.wait_for_type("charge.updated")
    assert moved["data"]["previous_attributes"] == {"balance_transaction": None}
    assert moved["request"] == {"id": None, "idempotency_key": None}


def test_an_endpoint_gets_only_what_it_wants(shop: Shop) -> None:
    with inbox() as box:
        wanted = ["payment_intent.succeeded", "checkout.session.completed"]
        made = shop.stripe.v1.webhook_endpoints.create({"url": box.url, "enabled_events": wanted})  # type: ignore[typeddict-item]
        shop.pay()
        shop.quiet()
        assert box.types == ["payment_intent.succeeded"]
        shop.stripe.v1.webhook_endpoints.update(made.id, {"disabled": True})
        shop.pay()
        shop.quiet()
        assert len(box.received) == 1


def test_an_endpoints_secret_is_shown_only_once(shop: Shop, hook: Inbox) -> None:
    [endpoint] = shop.stripe.v1.webhook_endpoints.list().data
    assert "secret" not in endpoint.to_dict()


def test_what_is_not_accepted_is_sent_again_then_given_up(shop: Shop, hook: Inbox) -> None:
    hook.answers = [500, 404, 302]
    shop.customer()
    shop.quiet()
    assert len(hook.received) == 4
    assert len({verified(hook, one).id for one in hook.received}) == 1
    hook.answers = [500] * 9
    shop.customer()
    shop.quiet()
    assert len(hook.received) == 8
    done = shop.control("deliveries")["done"]
    assert [one["outcome"] for one in done] == ["500", "404", "302", "200", *["500"] * 4]


def test_an_endpoint_that_is_away_gets_it_later(shop: Shop) -> None:
    shop.stripe.v1.webhook_endpoints.create({"url": "http://127.0.0.1:9/gone", "enabled_events": ["*"]})
    ann = shop.customer()
    shop.quiet()
    assert {one["outcome"] for one in shop.control("deliveries")["done"]} == {"ClientConnectorError"}
    with inbox() as box:
        shop.stripe.v1.webhook_endpoints.create({"url": box.url, "enabled_events": ["*"]})
        [event] = shop.stripe.v1.events.list().data
        shop.control("resend", {"event": event.id})
        assert box.wait(1)[0].event["data"]["object"]["id"] == ann.id


def test_duplicates_on_demand(shop: Shop, hook: Inbox) -> None:
    shop.control("faults", {"fault": "duplicate", "types": ["payment_intent.succeeded"]})
    shop.pay()
    shop.quiet()
    assert hook.types.count("payment_intent.succeeded") == 2
    assert len(hook.received) == 5


def test_dropped_on_demand_but_known(shop: Shop, hook: Inbox) -> None:
    shop.control("faults", {"fault": "drop", "types": ["payment_intent.succeeded"]})
    shop.pay()
    shop.quiet()
    assert "payment_intent.succeeded" not in hook.types
    assert len(hook.received) == 3
    assert len(shop.stripe.v1.events.list({"type": "payment_intent.succeeded"}).data) == 1


def test_reordered_on_demand(shop: Shop, hook: Inbox) -> None:
    shop.control("faults", {"fault": "reorder", "types": ["charge.succeeded"], "seconds": 60})
    shop.pay()
    shop.quiet()
    order = hook.types
    assert order.index("charge.succeeded") > order.index("payment_intent.succeeded")


def test_delayed_on_demand_while_others_pass(shop: Shop, hook: Inbox) -> None:
    shop.control("faults", {"fault": "delay", "types": ["payment_intent.created"], "seconds": 0.4})
    shop.pay()
    hook.wait(4)
    assert hook.types[-1] == "payment_intent.created"


def test_a_bad_signature_on_demand_and_a_right_one_afterwards(shop: Shop, hook: Inbox) -> None:
    shop.control("faults", {"fault": "bad_signature"})
    hook.answers = [400]
    shop.customer()
    bad, right = hook.wait(2)
    with pytest.raises(stripe.SignatureVerificationError, match="No signatures found"):
        verified(hook, bad)
    assert verified(hook, right).type == "customer.created"


def test_a_stale_signature_on_demand(shop: Shop, hook: Inbox) -> None:
    shop.control("faults", {"fault": "stale"})
    hook.answers = [400]
    shop.customer()
    stale, fresh = hook.wait(2)
    with pytest.raises(stripe.SignatureVerificationError, match="outside the tolerance zone"):
        verified(hook, stale)
    assert verified(hook, fresh).id == stale.event["id"]
