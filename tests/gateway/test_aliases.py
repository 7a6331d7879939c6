"""An alias stands for several models: each request gets one, and is priced, logged and held as that one is."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from catalog.models import Alias, AliasMember, Choice, Model, Route, Upstream
from tests.cast import LONG_AGO, make_key, make_model, make_price_list, set_prices, set_terms
from tests.gateway import scripted
from tests.gateway.conftest import CREDENTIAL, RunningGateway, announce
from tests.gateway.scripted import ANSWER, DONE, HEAD, Step, chunk, whole

GOOD = whole(ANSWER)
BROKEN = whole(b'{"error": {"message": "no"}}', status="500 No")
# Nano-dollars of a token in, and out.
CHEAP, DEAR, MIDDLE = (1, 2), (100, 200), (10, 20)
Upstreams = Callable[..., None]


def priced(tokens: tuple[int, int]) -> dict[str, tuple[int, int]]:
    return {"input_tokens": (tokens[0], 1), "output_tokens": (tokens[1], 1)}


def alias(name: str, *models: str, choice: str = Choice.ORDER, **fields: Any) -> Alias:
    made = Alias.objects.create(public_id=name, name=name, choice=choice, created_at=LONG_AGO, **fields)
    for position, model in enumerate(models):
        AliasMember.objects.create(alias=made, model=Model.objects.get(public_id=model), position=position)
    announce()
    return made


@pytest.fixture
def gateway(gateway: RunningGateway) -> Iterator[RunningGateway]:
    """With three models, each on an upstream of its own; there are no aliases afterwards."""
    for name, tokens in (("dear", DEAR), ("cheap", CHEAP), ("middle", MIDDLE)):
        if not Model.objects.filter(public_id=name).exists():
            model = make_model(name, prices=priced(tokens), families=["chat"], max_output_tokens=1_000)
            upstream = Upstream(name=name, base_url="http://127.0.0.1:9/v1")
            upstream.credential = CREDENTIAL
            upstream.save()
            Route.objects.filter(model=model).update(upstream=upstream, upstream_model="demo-chat")
    demo = Upstream.objects.get(name="test").base_url
    Upstream.objects.filter(name__in=["dear", "cheap", "middle"]).update(base_url=demo)
    Model.objects.filter(public_id__in=["dear", "cheap", "middle"]).update(enabled=True)
    announce()
    yield gateway
    Alias.objects.all().delete()
    Model.objects.filter(public_id__in=["dear", "cheap", "middle"]).update(max_output_tokens=1_000)
    announce()


@pytest.fixture
def answers() -> Iterator[Upstreams]:
    """`answers(cheap=[bytes, …])`: what the upstreams of models say from now on."""
    with ExitStack() as stack:

        def say(**scripts: list[Step]) -> None:
            for name, script in scripts.items():
                url = stack.enter_context(scripted.upstream(script)) if script else "http://127.0.0.1:9/v1"
                Upstream.objects.filter(name=name).update(base_url=url)
            announce()

        yield say


def ran(gateway: RunningGateway, count: int = 1) -> list[str]:
    return [line["model"] for line in gateway.lines(count)]


class TestTheFirstOfItsOrder:
    def test_answers_with_its_price_under_the_name_that_was_asked_for(self, gateway: RunningGateway) -> None:
        alias("fast", "middle", "cheap")
        answer = gateway.chat("hello world", model="fast")
        assert answer.json["model"] == "fast"
        (line,) = gateway.lines()
        assert (line["model"], line.get("attempts", 1)) == ("middle", 1)
        assert line["charge_nanos"] == 2 * 10 + 4 * 20 == gateway.held_nanos()

    def test_the_official_sdk_streams_from_it(self, gateway: RunningGateway) -> None:
        alias("fast", "middle", "cheap")
        stream = gateway.openai().chat.completions.create(
            model="fast", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        chunks = list(stream)
        assert {chunk.model for chunk in chunks} == {"fast"}
        assert ran(gateway) == ["middle"]

    @pytest.mark.parametrize(
        "change",
        [
            {"enabled": False},
            {"families": ["embeddings"]},
            {"shut_down_at": datetime(2021, 1, 1, tzinfo=UTC)},
            {"max_output_tokens": 10},
        ],
    )
    def test_what_doesnt_serve_the_request_is_passed_by(self, gateway: RunningGateway, change: Any) -> None:
        alias("fast", "middle", "cheap")
        Model.objects.filter(public_id="middle").update(**change)
        announce()
        assert gateway.chat(model="fast", max_tokens=20).status == 200
        assert ran(gateway) == ["cheap"]
        Model.objects.filter(public_id="middle").update(enabled=True, families=["chat"], shut_down_at=None)

    def test_where_none_takes_the_request_it_is_told_what_the_first_takes(self, gateway: RunningGateway) -> None:
        alias("fast", "middle", "cheap")
        answer = gateway.chat(model="fast", max_tokens=5_000)
        assert (answer.error[0], answer.json["error"]["param"]) == (400, "max_tokens")
        assert (gateway.held_nanos(), gateway.written()) == (0, 0)

    def test_a_change_is_seen_within_a_second(self, gateway: RunningGateway) -> None:
        made = alias("fast", "middle")
        Alias.objects.filter(pk=made.pk).update(enabled=False)
        announce()
        assert gateway.chat(model="fast").error == (404, "invalid_request_error", "model_not_found")

    def test_a_model_goes_before_an_alias_of_its_id(self, gateway: RunningGateway) -> None:
        alias("cheap", "dear")
        gateway.chat(model="cheap")
        assert ran(gateway) == ["cheap"]


class TestTheNextModel:
    def test_answers_where_the_first_fails_before_its_first_byte(
        self, gateway: RunningGateway, answers: Upstreams
    ) -> None:
        alias("fast", "middle", "dear", "cheap")
        answers(middle=[BROKEN], dear=[])
        assert gateway.chat("hello world", model="fast").status == 200
        (line,) = gateway.lines()
        assert (line["model"], line["attempts"]) == ("cheap", 3)
        assert line["charge_nanos"] == 2 * 1 + 4 * 2 == gateway.held_nanos()

    def test_has_its_route_in_the_line(self, gateway: RunningGateway, answers: Upstreams) -> None:
        alias("fast", "middle", "cheap")
        answers(middle=[BROKEN])
        gateway.chat(model="fast")
        assert gateway.lines()[0]["route"] == str(Route.objects.get(model__public_id="cheap").pk)

    def test_isnt_asked_where_the_request_is_at_fault(self, gateway: RunningGateway, answers: Upstreams) -> None:
        alias("fast", "middle", "cheap")
        answers(middle=[whole(b'{"error": {"message": "Bad"}}', status="400 Bad")])
        assert gateway.chat(model="fast").error[0] == 400
        assert ran(gateway) == ["middle"]

    def test_isnt_asked_once_an_answer_has_begun(self, gateway: RunningGateway, answers: Upstreams) -> None:
        alias("fast", "middle", "cheap")
        answers(middle=[HEAD, chunk("hello")])
        assert b"bad_gateway" in gateway.chat(model="fast", stream=True).body
        assert ran(gateway) == ["middle"]

    def test_where_all_fail_the_last_failure_is_told_and_nothing_charged(
        self, gateway: RunningGateway, answers: Upstreams
    ) -> None:
        alias("fast", "middle", "cheap")
        answers(middle=[], cheap=[BROKEN])
        assert gateway.chat(model="fast").error == (502, "server_error", "bad_gateway")
        assert gateway.lines()[0]["charge_nanos"] == gateway.held_nanos() == 0

    def test_is_covered_by_the_hold_from_the_start(self, gateway: RunningGateway, answers: Upstreams) -> None:
        """$1 pays for 5,000,000 output tokens of the dear one at most, whichever comes first."""
        alias("fast", "cheap", "dear")
        Model.objects.filter(public_id__in=["dear", "cheap"]).update(max_output_tokens=10**8)
        Model.objects.update(context_window=10**9)
        announce()
        refused = gateway.chat(model="fast", max_tokens=6_000_000)
        assert refused.error == (429, "insufficient_quota", "credit_balance_exhausted")
        answers(cheap=[BROKEN])
        assert gateway.chat(model="fast", max_tokens=4_000_000).status == 200
        (line,) = gateway.lines()
        assert (line["model"], gateway.held_nanos()) == ("dear", line["charge_nanos"])
        Model.objects.update(context_window=8_192)

    def test_a_stream_of_the_cheaper_one_grows_within_what_is_held(
        self, gateway: RunningGateway, answers: Upstreams
    ) -> None:
        alias("fast", "cheap", "dear")
        Model.objects.filter(public_id__in=["dear", "cheap"]).update(max_output_tokens=8_000)
        said = [chunk("word " * 100)] * 20
        answers(cheap=[HEAD, *said, chunk(finish="stop"), chunk(usage=(5, 7_900)), DONE])
        assert gateway.chat(model="fast", stream=True).body.count(b'"content":"word') == 20
        assert gateway.lines()[0]["charge_nanos"] == 5 + 7_900 * 2 == gateway.held_nanos()


class TestTheCheapest:
    def test_comes_first(self, gateway: RunningGateway) -> None:
        alias("thrifty", "dear", "cheap", "middle", choice=Choice.PRICE)
        gateway.chat(model="thrifty")
        assert ran(gateway) == ["cheap"]

    def test_is_that_of_the_organizations_terms(self, gateway: RunningGateway) -> None:
        alias("thrifty", "cheap", "dear", choice=Choice.PRICE)
        own = make_price_list(f"Own {gateway.organization}")
        set_prices(Model.objects.get(public_id="dear"), priced((0, 1)), price_list=own)
        assert gateway.organization
        set_terms(gateway.organization, own_price_list=own)
        gateway.key, gateway.secret = make_key(gateway.organization)
        announce()
        gateway.chat("hello world", model="thrifty")
        (line,) = gateway.lines()
        assert (line["model"], line["charge_nanos"]) == ("dear", 4)

    def test_depends_on_what_is_asked(self, gateway: RunningGateway) -> None:
        """Cheap to read, dear to write."""
        if not Model.objects.filter(public_id="reader").exists():
            model = make_model("reader", prices=priced((0, 1_000)), families=["chat"], upstream_url="")
            Route.objects.filter(model=model).update(upstream_model="demo-chat")
        Model.objects.filter(public_id="reader").update(enabled=True)
        alias("thrifty", "middle", "reader", choice=Choice.PRICE)
        gateway.chat("word " * 2_000, model="thrifty", max_tokens=2)
        gateway.chat("hello", model="thrifty", max_tokens=100)
        assert ran(gateway, 2) == ["reader", "middle"]


class TestTheQuickest:
    def test_comes_first_once_each_was_measured(self, gateway: RunningGateway, answers: Upstreams) -> None:
        alias("quick", "middle", "cheap", choice=Choice.LATENCY)
        answers(middle=[0.3, GOOD], cheap=[GOOD])
        for _ in range(4):
            assert gateway.chat(model="quick").status == 200
        assert ran(gateway, 4) == ["middle", "cheap", "cheap", "cheap"]


class TestKeys:
    @pytest.mark.parametrize(
        ("allowed", "model"),
        [
            ([], "middle"),
            (["fast"], "middle"),
            (["fa*"], "middle"),
            (["cheap"], "cheap"),
            (["cheap", "dear"], "cheap"),
            (["demo-chat"], None),
        ],
    )
    def test_an_alias_stands_for_its_models_and_each_for_itself(
        self, gateway: RunningGateway, allowed: list[str], model: str | None
    ) -> None:
        alias("fast", "middle", "cheap", "dear")
        assert gateway.organization
        _, gateway.secret = make_key(gateway.organization, allowed_models=allowed)
        answer = gateway.chat(model="fast")
        if model:
            assert answer.status == 200
            assert ran(gateway) == [model]
        else:
            assert answer.error == (404, "invalid_request_error", "model_not_found")

    def test_one_for_an_alias_isnt_for_its_models_by_name(self, gateway: RunningGateway) -> None:
        alias("fast", "middle")
        assert gateway.organization
        _, gateway.secret = make_key(gateway.organization, allowed_models=["fast"])
        assert gateway.chat(model="middle").error[0] == 404

    def test_what_the_organization_isnt_sold_is_passed_by(self, gateway: RunningGateway) -> None:
        alias("fast", "middle", "cheap")
        assert gateway.organization
        set_terms(gateway.organization, allowed_models=["cheap"])
        _, gateway.secret = make_key(gateway.organization)
        gateway.chat(model="fast")
        assert ran(gateway) == ["cheap"]


class TestTheList:
    def models(self, gateway: RunningGateway, secret: str | None = None) -> dict[str, Any]:
        found = gateway.request("GET", "/v1/models", secret=secret).json["data"]
        return {one["id"]: one for one in found}

    def test_has_aliases_with_what_they_stand_for(self, gateway: RunningGateway) -> None:
        alias("fast", "middle", "cheap", choice=Choice.PRICE)
        found = self.models(gateway)["fast"]
        assert (found["object"], found["owned_by"], found["pricing"]) == ("model", "keymeter", None)
        assert (found["stands_for"], found["chooses_by"]) == (["middle", "cheap"], "price")
        assert gateway.request("GET", "/v1/models/fast").json == found
        assert [one.id for one in gateway.openai().models.list() if one.id == "fast"] == ["fast"]

    def test_has_what_the_key_may_use(self, gateway: RunningGateway) -> None:
        alias("fast", "middle", "cheap")
        alias("hidden", "middle", hidden=True)
        assert "hidden" not in self.models(gateway)
        assert gateway.request("GET", "/v1/models/hidden").status == 200
        assert gateway.organization
        _, narrow = make_key(gateway.organization, allowed_models=["cheap"])
        assert set(self.models(gateway, narrow)) == {"cheap", "fast"}
        _, named = make_key(gateway.organization, allowed_models=["hidden"])
        assert set(self.models(gateway, named)) == {"hidden"}
        _, other = make_key(gateway.organization, allowed_models=["demo-chat"])
        assert set(self.models(gateway, other)) == {"demo-chat"}
        assert gateway.request("GET", "/v1/models/fast", secret=other).status == 404


def test_what_is_kept_can_be_had_by_the_key_that_asked_for_an_alias(
    gateway: RunningGateway, answers: Upstreams
) -> None:
    alias("fast", "middle")
    assert gateway.organization
    _, gateway.secret = make_key(gateway.organization, allowed_models=["fast"])
    stored = gateway.chat(model="fast", store=True)
    found = gateway.request("GET", f"/v1/chat/completions/{stored.json['id']}")
    assert found.status == 200, json.loads(found.body)
