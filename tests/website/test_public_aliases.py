"""Aliases for everybody: what they stand for, on the pages of models and as JSON."""

from typing import Any

import pytest
from django.test import Client

from catalog.models import Alias, Choice, Model, Visibility
from tests.cast import LONG_AGO, make_model

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _models(db: None) -> None:
    for name in ("a/one", "b/two"):
        make_model(name, prices={"input_tokens": (1, 1)})
    make_model("c/secret", prices={"input_tokens": (1, 1)}, visibility=Visibility.HIDDEN)


def make(name: str, *models: str, **fields: Any) -> Alias:
    made = Alias.objects.create(public_id=name, name=f"Any {name}", created_at=LONG_AGO, **fields)
    for place, model in enumerate(models):
        made.members.create(model=Model.objects.get(public_id=model), position=place)
    return made


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (Choice.ORDER, "The first named"),
        (Choice.PRICE, "The cheapest for you"),
        (Choice.LATENCY, "The quickest lately"),
    ],
)
def test_aliases_say_what_they_stand_for_and_what_is_tried_first(client: Client, choice: Choice, told: str) -> None:
    make("fast", "b/two", "c/secret", "a/one", choice=choice)
    page = client.get("/models/").content.decode()
    assert "Any fast" in page
    assert told in page
    assert page.index("/models/b/two", page.index("Any fast")) < page.index("/models/a/one", page.index("Any fast"))
    assert "c/secret" not in page
    (told_as_json,) = client.get("/models.json").json()["aliases"]
    assert told_as_json == {
        "id": "fast",
        "name": "Any fast",
        "stands_for": ["b/two", "a/one"],
        "chooses_by": choice.value,
    }
    assert "fast" in client.get("/models/a/one").content.decode()


def test_hidden_switched_off_and_empty_ones_are_nobodys_to_see(client: Client) -> None:
    make("hidden-one", "a/one", hidden=True)
    make("off-one", "a/one", enabled=False)
    make("empty-one", "c/secret")
    page = client.get("/models/").content.decode()
    assert "-one" not in page.replace("a/one", "")
    assert client.get("/models.json").json()["aliases"] == []


def test_a_search_is_for_models(client: Client) -> None:
    make("fast", "a/one")
    assert "Any fast" not in client.get("/models/?q=one").content.decode()
