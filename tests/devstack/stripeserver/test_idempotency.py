"""The same idempotency key gets the same answer: the work is done once."""

import threading
from typing import Any

import pytest
import stripe

from tests.devstack.stripeserver.shop import RETURN, Shop
from tests.waiting import wait_until

PAYMENT: dict[str, Any] = {
    "amount": 2500,
    "currency": "usd",
    "payment_method": "pm_card_visa",
    "confirm": True,
    "return_url": RETURN,
}


def pay(shop: Shop, key: str, **fields: Any) -> stripe.PaymentIntent:
    return shop.stripe.v1.payment_intents.create({**PAYMENT, **fields}, {"idempotency_key": key})  # type: ignore[typeddict-item]


def payments(shop: Shop) -> int:
    return len(shop.stripe.v1.payment_intents.list().data)


def test_a_repeated_request_is_answered_from_what_was_saved(shop: Shop) -> None:
    first, second = pay(shop, "topup-1"), pay(shop, "topup-1")
    assert first.to_dict() == second.to_dict()
    assert second.last_response
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    assert second.last_response.headers["Original-Request"] == first.last_response.request_id  # type: ignore[union-attr]
    assert payments(shop) == 1
    assert pay(shop, "topup-2").id != first.id


def test_a_refusal_is_saved_too(shop: Shop) -> None:
    errors = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            pay(shop, "topup-1", payment_method="pm_card_visa_chargeDeclined")
        errors.append(caught.value.json_body)
    assert errors[0] == errors[1]
    assert payments(shop) == 1


def test_another_body_or_route_with_the_same_key_is_an_error(shop: Shop) -> None:
    pay(shop, "topup-1")
    with pytest.raises(stripe.IdempotencyError, match="same parameters") as caught:
        pay(shop, "topup-1", amount=9900)
    assert caught.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        shop.stripe.v1.customers.create({}, {"idempotency_key": "topup-1"})
    assert payments(shop) == 1


def test_a_request_that_never_began_leaves_its_key_free(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        pay(shop, "topup-1", amount="many")
    assert pay(shop, "topup-1").status == "succeeded"


def test_the_same_key_at_the_same_time_is_a_conflict(shop: Shop) -> None:
    shop.control("faults", {"fault": "slow", "route": "POST /v1/payment_intents", "seconds": 0.5})
    first: list[stripe.PaymentIntent] = []
    thread = threading.Thread(target=lambda: first.append(pay(shop, "topup-1")))
    thread.start()
    wait_until(lambda: shop.control("faults")["faults"] == [], "the first request")
    conflicts = 0
    while thread.is_alive():
        try:
            pay(shop, "topup-1")
        except stripe.APIError as error:  # the library has no class of its own for 409
            code = error.error.code if error.error else ""
            conflicts += (error.http_status, code) == (409, "idempotency_key_in_use")
    assert conflicts
    assert payments(shop) == 1
    assert pay(shop, "topup-1").id == first[0].id


def test_a_key_is_free_again_after_a_day(shop: Shop) -> None:
    first = pay(shop, "topup-1")
    shop.control("clock", {"ahead": 25 * 3600})
    assert pay(shop, "topup-1").id != first.id


def test_a_key_has_at_most_255_characters(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="255"):
        pay(shop, "x" * 256)
