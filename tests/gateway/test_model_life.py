"""Hidden, deprecated and shut-down models, as keys meet them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from catalog.models import Model, Route, Visibility
from hotstate import names
from hotstate.client import valkey
from tests.cast import PRICES, make_key, make_model, set_prices
from tests.gateway.conftest import RunningGateway, announce
from tests.gateway.other_gateway import OtherGateway, other
from tests.waiting import wait_until

__all__ = ["other"]

NOT_FOUND = (404, "invalid_request_error", "model_not_found")
AGO = timedelta(seconds=1)


@pytest.fixture
def model(gateway: RunningGateway) -> Iterator[Model]:
    """A model beside the usual one; gone at the end."""
    model = make_model("lab/next")
    model.routes.update(upstream_model="demo-chat")
    yield model
    Model.objects.filter(pk=model.pk).update(enabled=False, public_id=f"gone-{model.pk}")
    announce()


def change(model: Model, **fields: Any) -> None:
    Model.objects.filter(pk=model.pk).update(**fields)
    announce()


def listed(gateway: RunningGateway) -> set[str]:
    return {one["id"] for one in gateway.request("GET", "/v1/models").json["data"]}


def test_a_model_is_sold_until_the_moment_of_its_shut_down_and_nobody_has_to_tell_the_gateways(
    gateway: RunningGateway, model: Model
) -> None:
    change(model, shut_down_at=datetime.now(UTC) + timedelta(seconds=5))
    told = valkey().get(names.CATALOG_VERSION)
    assert gateway.chat(model="lab/next").status == 200
    assert "lab/next" in listed(gateway)
    wait_until(lambda: gateway.chat(model="lab/next").status == 404, "the shut-down")
    assert valkey().get(names.CATALOG_VERSION) == told
    assert "lab/next" not in listed(gateway)


def test_a_model_is_sold_from_the_moment_of_its_first_price(gateway: RunningGateway, model: Model) -> None:
    (route,) = model.routes.all()
    later = Model.objects.get(pk=model.pk)
    later.pk, later.public_id = None, "lab/later"
    later.save()
    Route.objects.create(model=later, upstream=route.upstream, upstream_model=route.upstream_model)
    announce()
    assert "lab/later" not in listed(gateway)
    set_prices(later, PRICES, effective_from=datetime.now(UTC) + timedelta(seconds=2))
    announce()
    wait_until(lambda: "lab/later" in listed(gateway), "the first price")
    assert gateway.chat(model="lab/later").status == 200
    change(later, enabled=False)


def test_a_model_that_is_shut_down_looks_like_one_that_never_was(
    gateway: RunningGateway, other: OtherGateway, model: Model
) -> None:
    change(model, shut_down_at=datetime.now(UTC) - AGO)
    assert gateway.chat(model="lab/next").error == NOT_FOUND
    assert gateway.request("GET", "/v1/models/lab/next").error == NOT_FOUND
    assert other.verify(model="lab/next").json["code"] == "model_not_found"
    assert other.check(X__Auth__Model="lab/next").status == 404
    assert gateway.open_holds() == 0


def test_a_deprecated_model_works_and_says_what_comes(gateway: RunningGateway, model: Model) -> None:
    shut_down_at = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
    successor = Model.objects.get(public_id="demo-chat")
    change(model, deprecated_at=datetime.now(UTC) - AGO, shut_down_at=shut_down_at, successor=successor)
    assert gateway.chat(model="lab/next").status == 200
    told = gateway.request("GET", "/v1/models/lab/next").json
    assert (told["shut_down_at"], told["successor"]) == ("2099-01-02T03:04:05Z", "demo-chat")
    assert told["deprecated_at"].endswith("Z")
    assert gateway.request("GET", "/v1/models/demo-chat").json["deprecated_at"] is None


def test_a_hidden_model_works_for_every_key_and_is_listed_to_those_that_name_it(
    gateway: RunningGateway, model: Model
) -> None:
    change(model, visibility=Visibility.HIDDEN)
    assert gateway.chat(model="lab/next").status == 200
    assert listed(gateway) == {"demo-chat"}
    assert gateway.request("GET", "/v1/models/lab/next").json["id"] == "lab/next"
    assert gateway.organization
    gateway.secret = make_key(gateway.organization, allowed_models=["lab/*"])[1]
    assert listed(gateway) == {"lab/next"}
