"""Models and prices for everybody: as pages and as JSON, and a change is seen at once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.models import PriceList
from billing.prices import publish_prices
from billing.tariff import UnitPrice
from catalog import changes
from catalog.models import Model, Route, Visibility
from hotstate.catalogue import catalogue_version
from hotstate.errors import Unreachable
from tests.cast import LONG_AGO, PRICES, make_model, set_prices
from tests.crowd import MODELS, make_crowd
from website import catalogue, throttle

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def finer(name: str = "lab/finer:1", **fields: Any) -> Model:
    """A model with tiers, a variant and off-peak times."""
    model = make_model(name, prices={"input_tokens": (9, 1)}, **fields)
    prices = [
        UnitPrice("input_tokens", 10**9, 10**6),
        UnitPrice("input_tokens", 2 * 10**9, 10**6, 200_000),
        UnitPrice("images", 40_000_000, 1, 0, "1024x1024-hd"),
    ]
    windows = [{"days": [5, 6], "from": "00:00", "to": "24:00", "basis_points": 5_000}]
    publish_prices(
        model, prices, effective_from=NOW - HOUR, actor=None, reason="", now=NOW - 2 * HOUR, off_peak=windows
    )
    return model


def ids(client: Client, address: str = "/models/") -> list[str]:
    return [listed.model.public_id for listed in client.get(address).context["models"]]


class TestTheList:
    @pytest.fixture(autouse=True)
    def _models(self, db: None) -> None:
        make_model("a/embed", prices={"input_tokens": (9, 1)}, families=["embeddings"], context_window=10)
        make_model("b/chat", prices={"input_tokens": (1, 1), "output_tokens": (5, 1)}, description="Quick and cheap")
        make_model("c/chat", prices={"output_tokens": (4, 1)}, context_window=999_999)

    @pytest.mark.parametrize(
        ("address", "found"),
        [
            ("", "abc"),
            ("?q=CHEAP+quick", "b"),
            ("?q=chat", "bc"),
            ("?family=embeddings&q=embed", "a"),
            ("?family=nonsense", "abc"),
            ("?family=chat", "bc"),
            ("?sort=input", "bac"),
            ("?sort=output", "cba"),
            ("?sort=context", "cba"),
            ("?sort=nonsense", "abc"),
            ("?q=nothing", ""),
        ],
    )
    def test_is_searched_filtered_and_sorted(self, client: Client, address: str, found: str) -> None:
        assert "".join(name[0] for name in ids(client, f"/models/{address}")) == found

    def test_has_what_can_be_bought_and_nothing_else(self, client: Client) -> None:
        make_model("hidden", visibility=Visibility.HIDDEN)
        make_model("gone", shut_down_at=NOW - HOUR)
        make_model("off", enabled=False)
        unpriced = make_model("unpriced")
        unpriced.price_versions.update(superseded_at=NOW)
        make_model("later", prices={})
        no_route = make_model("no-route")
        Route.objects.filter(model=no_route).update(enabled=False)
        own = PriceList.objects.create(name="Partner", created_at=NOW)
        publish_prices(
            Model.objects.get(public_id="b/chat"),
            {"input_tokens": (77, 1)},
            effective_from=NOW - HOUR,
            actor=None,
            reason="",
            now=NOW - 2 * HOUR,
            price_list=own,
        )
        assert ids(client) == ["a/embed", "b/chat", "c/chat"]
        assert [one["id"] for one in client.get("/models.json").json()["data"]] == ids(client)
        assert "0.000000077" not in client.get("/models.json").content.decode()
        for name in ("hidden", "off", "unpriced", "never"):
            assert client.get(f"/models/{name}").status_code == 404, name
            assert client.get(f"/models.json/{name}").status_code == 404, name

    def test_is_on_the_landing_page_too(self, client: Client) -> None:
        page = client.get("/").content.decode()
        assert 'href="/models/b/chat"' in page

    def test_without_models_it_says_so(self, client: Client) -> None:
        Model.objects.update(enabled=False)
        assert "No models are for sale yet" in client.get("/models/").content.decode()


class TestOneModel:
    def test_shows_prices_tiers_variants_times_limits_history_and_a_snippet(self, client: Client) -> None:
        finer(description="Long context")
        page = client.get("/models/lab/finer:1").content.decode()
        for words in (
            "Long context",
            "from 200,000 input tokens",
            "1024x1024-hd",
            "Sat, Sun",
            "8,192 tokens",
            "2020-01-01 00:00:00 UTC",
            "/chat/completions",
            "&quot;model&quot;: &quot;lab/finer:1&quot;",
        ):
            assert words in page or words.replace("&quot;", '"') in page, words

    def test_says_what_prices_are_to_come(self, client: Client) -> None:
        set_prices(make_model(), {"input_tokens": (1, 1)}, effective_from=NOW + HOUR)
        assert "Prices to come" in client.get("/models/demo-chat").content.decode()

    def test_says_when_it_is_deprecated_and_what_to_use(self, client: Client) -> None:
        successor = make_model("next")
        make_model(deprecated_at=NOW - HOUR, shut_down_at=NOW + HOUR, successor=successor)
        page = client.get("/models/demo-chat").content.decode()
        for words in ("Deprecated since", "stops working", 'href="/models/next"'):
            assert words in page

    def test_a_successor_that_is_hidden_is_not_told(self, client: Client) -> None:
        successor = make_model("secret-plan", visibility=Visibility.HIDDEN)
        make_model(deprecated_at=NOW - HOUR, successor=successor)
        make_model("gone", shut_down_at=NOW - HOUR, successor=successor)
        for address in ("/models/demo-chat", "/models/gone", "/models.json", "/models.json/demo-chat"):
            assert "secret-plan" not in client.get(address).content.decode()

    def test_one_that_was_shut_down_says_so(self, client: Client) -> None:
        make_model("gone", shut_down_at=NOW - HOUR, successor=make_model("next"))
        answer = client.get("/models/gone")
        assert answer.status_code == 410
        assert 'href="/models/next"' in answer.content.decode()
        make_model("hidden", shut_down_at=NOW - HOUR, visibility=Visibility.HIDDEN)
        assert client.get("/models/hidden").status_code == 404


class TestJson:
    def test_has_decimal_strings_per_unit(self, client: Client) -> None:
        finer()
        (found,) = client.get("/models.json").json()["data"]
        assert (found["id"], found["object"], found["context_length"]) == ("lab/finer:1", "model", 8192)
        assert found["pricing"]["prompt"] == "0.000001"
        assert found["pricing"]["tiers"] == [{"from_input_tokens": 200_000, "prompt": "0.000002"}]
        assert found["pricing"]["variants"][0]["images"] == "0.04"
        assert found["pricing"]["off_peak"][0]["multiplier"] == "0.5"

    def test_of_one_model_has_its_history(self, client: Client) -> None:
        model = finer()
        set_prices(model, {"input_tokens": (1, 1)}, effective_from=NOW + HOUR)
        found = client.get("/models.json/lab/finer:1").json()
        assert [one["pricing"]["prompt"] for one in found["history"]] == ["0.000001", "0.000000009"]
        assert found["history"][1]["from"] == LONG_AGO.isoformat().replace("+00:00", "Z")
        assert [one["pricing"]["prompt"] for one in found["coming"]] == ["0.000000001"]

    def test_is_for_every_cache_and_every_page(self, client: Client) -> None:
        make_model()
        answer = client.get("/models.json")
        assert answer["Cache-Control"] == "public, max-age=1"
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert answer["Content-Type"] == "application/json"
        assert "Vary" not in answer
        again = client.get("/models.json", headers={"If-None-Match": answer["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        set_prices(Model.objects.get(), {"input_tokens": (1, 1)}, effective_from=NOW - HOUR)
        assert client.get("/models.json", headers={"If-None-Match": answer["ETag"]}).status_code == 200

    def test_is_the_same_for_somebody_who_is_signed_in(self, browse: Callable[[User], Client], owner: User) -> None:
        make_model()
        browser = browse(owner)
        assert "Vary" not in browser.get("/models.json/demo-chat")
        assert "Cookie" in browser.get("/models/")["Vary"]

    def test_an_address_that_asks_too_often_is_told_to_wait(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(throttle, "PER_MINUTE", 2)
        monkeypatch.setattr(throttle.timezone, "now", lambda: datetime(2026, 11, 21, 12, 0, 10, tzinfo=UTC))
        answers = [client.get(address) for address in ("/models.json", "/models.json/x", "/models.json")]
        assert [answer.status_code for answer in answers] == [200, 404, 429]
        assert answers[2]["Retry-After"] == "50"
        assert client.get("/models.json", REMOTE_ADDR="10.0.0.2").status_code == 200
        monkeypatch.setattr(throttle.timezone, "now", lambda: datetime(2026, 11, 21, 12, 1, tzinfo=UTC))
        assert client.get("/models.json").status_code == 200


class TestKept:
    """Read once for each state of the catalogue."""

    @pytest.fixture(autouse=True)
    def _versions(self, monkeypatch: pytest.MonkeyPatch, empty_valkey: Any) -> None:
        monkeypatch.setattr(catalogue, "catalogue_version", catalogue_version)
        catalogue._kept.clear()

    def test_nothing_is_read_again_until_something_is_announced(
        self, client: Client, django_assert_num_queries: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        model = make_model()
        assert ids(client) == ["demo-chat"]
        with django_assert_num_queries(0):
            client.get("/models/")
        with django_capture_on_commit_callbacks(execute=True):
            publish_prices(model, PRICES, effective_from=None, actor=None, reason="", now=datetime.now(UTC))
        assert len(client.get("/models.json").json()["data"][0]["coming"]) == 1
        Model.objects.update(enabled=False)
        assert ids(client) == ["demo-chat"], "nobody told of it"
        changes.announce(datetime.now(UTC))
        with django_capture_on_commit_callbacks(execute=True):
            changes.announce(datetime.now(UTC))
        assert ids(client) == []

    @pytest.mark.parametrize("field", ["deprecated_at", "shut_down_at"])
    def test_what_comes_by_time_comes_on_time(self, field: str) -> None:
        make_model(**{field: NOW + HOUR})
        (before,) = catalogue.catalogue(NOW + HOUR - timedelta(seconds=1)).models
        assert before.state == "active"
        after = catalogue.catalogue(NOW + HOUR).models
        assert [listed.state for listed in after] == (["deprecated"] if field == "deprecated_at" else [])

    def test_a_price_comes_on_time(self) -> None:
        set_prices(make_model(), {"input_tokens": (1, 1)}, effective_from=NOW + HOUR)
        (before,) = catalogue.catalogue(NOW + HOUR - timedelta(seconds=1)).models
        (after,) = catalogue.catalogue(NOW + HOUR).models
        assert (len(before.coming), len(after.coming)) == (1, 0)
        assert after.price.by_meter["input_tokens"].amount_nanos == 1

    def test_another_state_of_valkey_is_another_version(self, empty_valkey: Any) -> None:
        before = catalogue_version()
        empty_valkey.delete("km:era")
        assert catalogue_version() != before

    def test_without_valkey_it_is_read_each_time(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def unreachable() -> str:
            raise Unreachable

        monkeypatch.setattr(catalogue, "catalogue_version", unreachable)
        make_model()
        assert ids(client) == ["demo-chat"]
        Model.objects.update(enabled=False)
        assert ids(client) == []


def test_a_large_vendor_needs_few_queries(client: Client, django_assert_max_num_queries: Any) -> None:
    make_crowd()
    for address in ("/models/", "/models.json", "/models/lab-1/model-001", "/models.json/lab-1/model-001", "/"):
        with django_assert_max_num_queries(8):
            assert client.get(address).status_code == 200
    assert len(ids(client)) == MODELS
