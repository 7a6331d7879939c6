"""Calls go wrong on demand, and what was done stays done."""

import time
import urllib.error

import pytest
import stripe

from tests.devstack.stripeserver.shop import Shop
from tests.devstack.stripeserver.test_idempotency import pay, payments

ROUTE = "POST /v1/payment_intents"


def order(shop: Shop, fault: str, **fields: object) -> None:
    shop.control("faults", {"fault": fault, "route": ROUTE, **fields})


def test_500_after_the_work_is_saved_and_replayed(shop: Shop) -> None:
    order(shop, "error_after")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            pay(shop, "topup-1")
        assert caught.value.http_status == 500
    [intent] = shop.stripe.v1.payment_intents.list().data
    assert intent.status == "succeeded"


def test_500_before_the_work_leaves_the_key_free(shop: Shop) -> None:
    order(shop, "error_before")
    with pytest.raises(stripe.APIError):
        pay(shop, "topup-1")
    assert payments(shop) == 0
    assert pay(shop, "topup-1").status == "succeeded"


def test_too_many_requests(shop: Shop) -> None:
    order(shop, "rate_limit")
    with pytest.raises(stripe.RateLimitError):
        pay(shop, "topup-1")
    assert payments(shop) == 0


@pytest.mark.parametrize("fault", ["late", "never", "cut"])
def test_the_work_is_done_though_the_answer_comes_late_or_never(shop: Shop, fault: str) -> None:
    order(shop, fault, seconds=1)
    impatient = shop.client(http_client=stripe.RequestsClient(timeout=0.3))
    shop.stripe, patient = impatient, shop.stripe
    with pytest.raises(stripe.APIConnectionError):
        pay(shop, "topup-1")
    shop.stripe = patient
    [intent] = shop.stripe.v1.payment_intents.list().data
    assert pay(shop, "topup-1").id == intent.id


def test_a_late_answer_comes(shop: Shop) -> None:
    order(shop, "late", seconds=0.3)
    start = time.monotonic()
    assert pay(shop, "topup-1").status == "succeeded"
    assert time.monotonic() - start > 0.3


def test_the_librarys_own_retry_after_a_cut_pays_once(shop: Shop) -> None:
    order(shop, "cut")
    shop.stripe = shop.client(max_network_retries=2)
    assert pay(shop, "topup-1").status == "succeeded"
    assert payments(shop) == 1


def test_a_fault_is_for_so_many_calls_of_its_route(shop: Shop) -> None:
    order(shop, "error_before", times=2)
    shop.customer()
    for number in range(2):
        with pytest.raises(stripe.APIError):
            pay(shop, f"topup-{number}")
    assert pay(shop, "topup-2").status == "succeeded"
    assert shop.control("faults") == {"faults": []}


def test_faults_can_be_taken_back(shop: Shop) -> None:
    order(shop, "error_before", times=9)
    assert len(shop.control("faults")["faults"]) == 1
    shop.control("faults", method="DELETE")
    assert pay(shop, "topup-1").status == "succeeded"


@pytest.mark.parametrize("wrong", [{"fault": "fire"}, {"fault": "drop", "route": ROUTE}, {"times": 1}, {"colour": 1}])
def test_an_unknown_order_is_refused(shop: Shop, wrong: dict[str, object]) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        shop.control("faults", wrong)
    assert caught.value.code == 400
