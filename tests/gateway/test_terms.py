"""An organization's terms at the gateway: what is held and charged, which models, and when a change is seen."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from accounts import organizations
from accounts.models import Organization
from billing.models import PriceList, UsageEvent
from billing.partitions import ensure_partitions
from billing.posting import post_segment
from billing.rating import worst_case
from billing.tariff import Tariff, UnitPrice
from billing.terms import change_terms, histories
from catalog.models import Model
from hotstate.records import Limits
from tests.cast import PRICES, make_key, make_model, make_price_list, make_segment, raw, set_prices, set_terms
from tests.gateway.conftest import RunningGateway, announce
from tests.gateway.other_gateway import TEMPLATE, OtherGateway, other

__all__ = ["other"]

NOT_FOUND = (404, "invalid_request_error", "model_not_found")
# Of 100 tokens in and 100 out, with the template's.
PUBLIC = worst_case(100 + TEMPLATE, 100, Tariff(1, PRICES))


def agree(gateway: RunningGateway, **fields: Any) -> None:
    """Other terms, in force at once: they began a while ago, and Valkey has them."""
    organization = gateway.organization
    assert organization
    set_terms(organization, effective_from=datetime.now(UTC) - timedelta(hours=1), **fields)
    # Their start is over, so nothing but the record has to be told.
    tell(organization)


def tell(organization: Organization) -> None:
    now = datetime.now(UTC)
    kept = [msgspec.to_builtins(terms) for terms in histories([organization.pk])[organization.pk]]
    entries = organizations.set_terms(organization, kept, actor=None, reason="", now=now)
    organizations.require_in_force(organization, entries)


@pytest.fixture
def price_list() -> PriceList:
    return make_price_list(f"list {datetime.now(UTC).timestamp()}")


@pytest.fixture
def model(gateway: RunningGateway) -> Iterator[Model]:
    """Sold to those alone whose list has it: the public one has no price. Gone at the end."""
    model = make_model("lab/own", prices={"input_tokens": (1, 1)})
    model.routes.update(upstream_model="demo-chat")
    yield model
    Model.objects.filter(pk=model.pk).update(enabled=False, public_id=f"gone-{model.pk}")
    announce()


def posted(gateway: RunningGateway, line: dict[str, Any]) -> UsageEvent:
    """The line's event, as a worker makes it."""
    now = datetime.now(UTC)
    ensure_partitions(now.date())
    segment = make_segment(raw(line), source=line["source"], now=now)
    assert post_segment(segment.pk, now=now)
    return UsageEvent.objects.get(pk=line["id"])


def test_a_discount_is_held_and_charged_as_the_worker_charges_it(gateway: RunningGateway) -> None:
    assert gateway.chat(max_tokens=100).status == 200
    full = gateway.lines(1)[0]
    agree(gateway, own_discount_bp=3333)
    assert gateway.chat(max_tokens=100).status == 200
    line = gateway.lines(2)[1]
    assert line["usage"] == full["usage"]
    assert line["charge_nanos"] == (full["charge_nanos"] * 6667 + 5000) // 10_000
    event = posted(gateway, line)
    assert (event.charge_nanos, event.multipliers) == (line["charge_nanos"], [6667])


def test_an_own_price_list_is_held_and_charged_by(gateway: RunningGateway, price_list: PriceList) -> None:
    own = set_prices(
        Model.objects.get(public_id="demo-chat"),
        {"input_tokens": (7, 1), "output_tokens": (9, 1)},
        price_list=price_list,
    )
    announce()
    agree(gateway, plan_price_list=price_list, plan_discount_bp=5000)
    assert gateway.chat(max_tokens=100).status == 200
    line = gateway.lines(1)[0]
    usage = line["usage"]
    assert line["charge_nanos"] == usage["input_tokens"] * 7 + usage["output_tokens"] * 9
    event = posted(gateway, line)
    assert (event.charge_nanos, event.price_version_id) == (line["charge_nanos"], own.pk)


def test_off_peak_times_are_held_and_charged_by(gateway: RunningGateway, price_list: PriceList) -> None:
    always = {"days": [0, 1, 2, 3, 4, 5, 6], "from": "00:00", "to": "24:00", "basis_points": 2500}
    set_prices(Model.objects.get(public_id="demo-chat"), PRICES, price_list=price_list, off_peak=[always])
    announce()
    assert gateway.chat(max_tokens=100).status == 200
    agree(gateway, own_price_list=price_list)
    assert gateway.chat(max_tokens=100).status == 200
    full, line = gateway.lines(2)
    assert line["charge_nanos"] == (full["charge_nanos"] + 2) // 4
    assert posted(gateway, line).multipliers == [2500]


@pytest.mark.parametrize("stream", [False, True])
def test_a_long_input_is_charged_by_its_tier(gateway: RunningGateway, price_list: PriceList, *, stream: bool) -> None:
    tiers = [
        UnitPrice("input_tokens", 1),
        UnitPrice("output_tokens", 1),
        UnitPrice("input_tokens", 5, from_input_tokens=20),
        UnitPrice("output_tokens", 8, from_input_tokens=20),
    ]
    set_prices(Model.objects.get(public_id="demo-chat"), tiers, price_list=price_list)
    announce()
    agree(gateway, own_price_list=price_list)
    for content in ("short", "long " * 100):
        assert gateway.chat(content, stream=stream).status == 200
    short, long = gateway.lines(2)
    assert short["charge_nanos"] == short["usage"]["input_tokens"] + short["usage"]["output_tokens"]
    assert long["charge_nanos"] == 5 * long["usage"]["input_tokens"] + 8 * long["usage"]["output_tokens"]
    assert posted(gateway, long).charge_nanos == long["charge_nanos"]


def test_another_gateway_s_request_is_held_and_settled_on_the_terms(
    gateway: RunningGateway, other: OtherGateway
) -> None:
    assert other.verify().json["hold"] == PUBLIC
    agree(gateway, own_discount_bp=5000)
    verdict = other.verify().json
    assert verdict["hold"] == -(-PUBLIC // 2)
    told = other.settle(verdict).json
    assert told["charge"] == (90 * 3_000 + 50 * 15_000) // 2
    assert told["settled"] is True


def test_a_model_beyond_the_terms_is_as_one_that_never_was(gateway: RunningGateway, other: OtherGateway) -> None:
    agree(gateway, allowed_models=["other-*"])
    assert gateway.chat().error == NOT_FOUND
    assert gateway.request("GET", "/v1/models").json["data"] == []
    assert gateway.request("GET", "/v1/models/demo-chat").error == NOT_FOUND
    assert other.verify().json["code"] == "model_not_found"
    assert other.check(X__Auth__Model="demo-chat").status == 404
    assert gateway.open_holds() == 0
    # As before, what is said first is said first: a scope before the model, the model before money.
    assert gateway.organization
    blind = make_key(gateway.organization, scopes=["models"])[1]
    assert gateway.post("/v1/chat/completions", {"model": "demo-chat", "messages": []}, secret=blind).error[2] == (
        "missing_scope"
    )


def test_other_gateways_are_told_what_both_the_key_and_the_terms_allow(
    gateway: RunningGateway, other: OtherGateway
) -> None:
    assert other.check().headers["x-models"] == ""
    agree(gateway, allowed_models=["demo-*", "lab/*"])
    assert other.check().headers["x-models"] == "demo-*,lab/*"
    assert gateway.organization
    narrow = make_key(gateway.organization, allowed_models=["demo-chat", "gpt-*"])[1]
    assert other.check(secret=narrow).headers["x-models"] == "demo-chat"
    assert other.verify(narrow).json["models"] == ["demo-chat"]
    none = make_key(gateway.organization, allowed_models=["gpt-*"])[1]
    assert other.check(secret=none).headers["x-models"] == "%21"


def test_other_gateways_are_told_the_plan(gateway: RunningGateway, other: OtherGateway) -> None:
    assert (other.check().headers["x-plan"], other.verify().json["plan"]) == ("", "")
    organization = gateway.organization
    assert organization
    now = datetime.now(UTC)
    entries = organizations.set_plan(
        organization, plan="pro", limits=Limits(), overdraft_nanos=0, actor=None, reason="", now=now
    )
    organizations.require_in_force(organization, entries)
    assert (other.check().headers["x-plan"], other.verify().json["plan"]) == ("pro", "pro")
    assert other.check(secret="km_nobody").headers.get("x-plan", "") == ""


def test_a_model_that_only_an_own_list_prices_is_sold_to_that_organization(
    gateway: RunningGateway, other: OtherGateway, model: Model, price_list: PriceList
) -> None:
    model.price_versions.update(superseded_at=datetime.now(UTC))
    set_prices(model, {"input_tokens": (2, 1), "output_tokens": (2, 1)}, price_list=price_list)
    announce()
    assert gateway.chat(model="lab/own").error == NOT_FOUND
    assert other.verify(model="lab/own").json["code"] == "model_not_found"
    agree(gateway, own_price_list=price_list)
    assert gateway.chat(model="lab/own").status == 200
    assert other.verify(model="lab/own").json["code"] == "allowed"


def test_a_change_is_in_force_within_a_second_of_its_start_at_the_gateway_that_knew_the_old_terms(
    gateway: RunningGateway, other: OtherGateway
) -> None:
    """The record that the gateway has is old: the decision's one call says so, and the question is asked anew."""
    organization = gateway.organization
    assert organization
    small = {"input_tokens": 1, "max_output_tokens": 1}
    public = worst_case(1 + TEMPLATE, 1, Tariff(1, PRICES))
    assert other.verify(**small).json["hold"] == public
    now = datetime.now(UTC)
    entries = change_terms(organization, now=now, actor=None, reason="", own_discount_bp=5000)
    organizations.require_in_force(organization, entries)
    starts = organization.record().terms[-1].effective_ms / 1000
    seen = []
    while time.time() < starts + 1:
        asked_at = time.time()
        hold = other.verify(**small).json["hold"]
        seen.append((hold, asked_at, time.time()))
    assert {hold for hold, _, until in seen if until < starts} == {public}
    assert {hold for hold, since, _ in seen if since > starts} == {public // 2}


def test_the_list_of_models_has_what_the_organization_pays(gateway: RunningGateway, price_list: PriceList) -> None:
    told = gateway.request("GET", "/v1/models/demo-chat").json["pricing"]
    assert told == {"prompt": "0.000003", "input_cache_read": "0.0000003", "completion": "0.000015"}
    agree(gateway, own_discount_bp=1500)
    told = gateway.request("GET", "/v1/models").json["data"][0]["pricing"]
    assert told == {"prompt": "0.00000255", "input_cache_read": "0.000000255", "completion": "0.00001275"}
    nights = {"days": [0], "from": "16:30", "to": "00:30", "basis_points": 5000}
    prices = [
        UnitPrice("input_tokens", 10**9, 10**6),
        UnitPrice("input_tokens", 2 * 10**9, 10**6, from_input_tokens=200_000),
        UnitPrice("seconds", 4_300_000, 60),
        UnitPrice("images", 80_000_000, variant="1024x1024-hd"),
    ]
    set_prices(Model.objects.get(public_id="demo-chat"), prices, price_list=price_list, off_peak=[nights])
    announce()
    assert gateway.organization
    set_terms(gateway.organization, effective_from=datetime.now(UTC) - timedelta(minutes=1), own_price_list=price_list)
    tell(gateway.organization)
    assert gateway.request("GET", "/v1/models/demo-chat").json["pricing"] == {
        "prompt": "0.000001",
        "completion": "0",
        "seconds": "0.0000716666666666666666666667",
        "tiers": [{"from_input_tokens": 200_000, "prompt": "0.000002"}],
        "variants": [{"variant": "1024x1024-hd", "from_input_tokens": 0, "images": "0.08"}],
        "off_peak": [{"days": [0], "from": "16:30", "to": "00:30", "multiplier": "0.5"}],
    }


def test_without_a_key_there_is_no_list(gateway: RunningGateway) -> None:
    for path in ("/v1/models", "/v1/models/demo-chat"):
        assert gateway.request("GET", path, secret="").error[0] == 401
