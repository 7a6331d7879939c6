"""Keys, versions, parameters, metadata, expansion and errors of the API."""

import urllib.error
import urllib.request
from typing import Any

import pytest
import stripe

from devstack.stripeserver.version import VERSION
from tests.devstack.stripeserver.shop import KEY, Shop


def asked(shop: Shop, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    request = urllib.request.Request(
        shop.address + path, headers={name.replace("_", "-"): headers[name] for name in headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def test_it_speaks_the_version_that_the_library_asks_for() -> None:
    assert stripe.api_version == VERSION


def test_another_version_is_refused(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Invalid Stripe API version"):
        shop.client(stripe_version="2020-08-27").v1.customers.list()
    status, headers, _ = asked(shop, "/v1/customers", Authorization=f"Bearer {KEY}")
    assert (status, headers["Stripe-Version"]) == (200, VERSION)
    assert headers["Request-Id"].startswith("req_")


def test_a_wrong_key_is_refused_and_not_shown(shop: Shop) -> None:
    wrong = "sk_test_quite_another_one"
    with pytest.raises(stripe.AuthenticationError) as caught:
        shop.client(wrong).v1.customers.list()
    assert caught.value.http_status == 401
    assert wrong not in str(caught.value)
    status, _, text = asked(shop, "/v1/customers")
    assert status == 401
    assert "did not provide an API key" in text


def test_what_does_not_exist_is_missing(shop: Shop) -> None:
    for look in (shop.stripe.v1.customers.retrieve, shop.stripe.v1.payment_intents.retrieve):
        with pytest.raises(stripe.InvalidRequestError, match="No such") as caught:
            look("nothing_like_that")
        assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL") as caught:
        shop.stripe.v1.coupons.list()
    assert caught.value.http_status == 404


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"currency": "usd"}, "amount", "parameter_missing"),
        ({"amount": "many", "currency": "usd"}, "amount", "parameter_invalid_integer"),
        ({"amount": 500, "currency": "xyz"}, "currency", None),
        ({"amount": 500, "currency": "usd", "colour": "red"}, "colour", "parameter_unknown"),
        ({"amount": 500, "currency": "usd", "metadata": {"x" * 41: "1"}}, f"metadata[{'x' * 41}]", None),
        ({"amount": 500, "currency": "usd", "confirm": "perhaps"}, "confirm", None),
        (
            {"amount": 500, "currency": "usd", "payment_method_data": {"type": "card", "card": {"iban": "1"}}},
            "payment_method_data[card][iban]",
            "parameter_unknown",
        ),
    ],
)
def test_wrong_parameters_are_named(shop: Shop, given: dict[str, object], param: str, code: str | None) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.stripe.v1.payment_intents.create(given)  # type: ignore[arg-type]
    assert (caught.value.http_status, caught.value.param, caught.value.code) == (400, param, code)


def test_metadata_is_merged_unset_and_emptied(shop: Shop) -> None:
    ann = shop.customer(metadata={"a": "1", "b": "2"})

    def after(change: Any) -> Any:
        return shop.stripe.v1.customers.update(ann.id, change).to_dict()["metadata"]

    assert after({"metadata": {"b": "", "c": "3"}}) == {"a": "1", "c": "3"}
    assert after({"email": "new@example.com"}) == {"a": "1", "c": "3"}
    assert after({"metadata": ""}) == {}


def test_an_empty_text_unsets_a_field(shop: Shop) -> None:
    ann = shop.customer(name="Ann", address={"city": "Bern", "country": "CH"})
    changed = shop.stripe.v1.customers.update(ann.id, {"name": "", "address": ""})
    assert (changed.name, changed.address, changed.email) == (None, None, "ann@example.com")


def test_ids_are_expanded_where_asked_lists_too(shop: Shop) -> None:
    ann = shop.customer()
    intent = shop.pay(customer=ann.id, expand=["customer", "latest_charge"])
    assert isinstance(intent.customer, stripe.Customer)
    assert isinstance(intent.latest_charge, stripe.Charge)
    [listed] = shop.stripe.v1.payment_intents.list({"expand": ["data.latest_charge.customer"]}).data
    assert isinstance(listed.latest_charge, stripe.Charge)
    assert isinstance(listed.latest_charge.customer, stripe.Customer)
    assert shop.stripe.v1.payment_intents.retrieve(intent.id).customer == ann.id
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        shop.stripe.v1.payment_intents.retrieve(intent.id, {"expand": ["colour"]})
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        shop.stripe.v1.payment_intents.retrieve(intent.id, {"expand": ["a.b.c.d.e"]})


def test_malformed_forms_are_refused_and_not_guessed(shop: Shop) -> None:
    for query in ("a[=1", "x" + "[y]" * 20 + "=1", "created[gte][more]=1"):
        status, _, text = asked(shop, f"/v1/customers?{query}", Authorization=f"Bearer {KEY}")
        assert status == 400, text
