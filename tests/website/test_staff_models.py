"""Staff find models by words, kind and state, with the dates of their lives."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from accounts.models import User
from catalog.models import LifeState, Model, Route
from tests.cast import make_model

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)
YESTERDAY, TOMORROW = NOW - timedelta(days=1), NOW + timedelta(days=1)
LIVES = {
    "young": {},
    "soon": {"deprecated_at": TOMORROW, "shut_down_at": TOMORROW},
    "aging": {"deprecated_at": YESTERDAY, "shut_down_at": TOMORROW},
    "gone": {"deprecated_at": YESTERDAY, "shut_down_at": YESTERDAY},
    "off": {"enabled": False, "deprecated_at": YESTERDAY, "shut_down_at": YESTERDAY},
    "secret": {"visibility": "hidden"},
}


@pytest.fixture
def _of_every_life() -> None:
    for name, fields in LIVES.items():
        make_model(name, **fields)


def listed(browser: Client, query: str = "") -> list[str]:
    return [model.public_id for model, *_ in browser.get(f"/staff/models/{query}").context["rows"]]


@pytest.mark.usefixtures("_of_every_life")
@pytest.mark.parametrize(
    ("state", "names"),
    [
        ("active", ["secret", "soon", "young"]),
        ("deprecated", ["aging"]),
        ("shut_down", ["gone"]),
        ("disabled", ["off"]),
        ("hidden", ["secret"]),
        ("public", ["aging", "gone", "off", "soon", "young"]),
        ("nonsense", sorted(LIVES)),
    ],
)
def test_each_state_has_its_models(staff_browser: Client, state: str, names: list[str]) -> None:
    assert listed(staff_browser, f"?state={state}") == names


@pytest.mark.usefixtures("_of_every_life")
@pytest.mark.parametrize("state", LifeState)
def test_the_database_and_a_row_agree_on_its_state(state: LifeState) -> None:
    by_row = {model.public_id for model in Model.objects.all() if model.state(NOW) == state}
    assert {model.public_id for model in Model.objects.all().in_state(state, NOW)} == by_row


@pytest.mark.usefixtures("_of_every_life")
def test_they_are_searched_and_filtered_by_kind(staff_browser: Client) -> None:
    Model.objects.filter(public_id="gone").update(families=["embeddings"], owned_by="A lab")
    assert listed(staff_browser, "?q=AGING") == ["aging"]
    assert listed(staff_browser, "?q=a+lab") == ["gone"]
    assert "gone" not in listed(staff_browser, "?family=chat")
    assert "No model fits" in staff_browser.get("/staff/models/?q=nothing").content.decode()


def test_dates_successor_and_what_is_missing_are_shown(staff_browser: Client) -> None:
    after = make_model("after", prices={})
    old = make_model("old", deprecated_at=YESTERDAY, shut_down_at=TOMORROW, successor=after)
    Route.objects.filter(model=after).update(enabled=False)
    page = staff_browser.get("/staff/models/").content.decode()
    for words in (f"{YESTERDAY:%Y-%m-%d}", f"{TOMORROW:%Y-%m-%d}", "no price: not for sale", "no route: not for sale"):
        assert words in page
    assert f'href="/staff/prices/{old.pk}/"' in page
    assert f'href="/admin/catalog/model/{old.pk}/change/"' in page


def test_many_have_pages(staff_browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("website.views.staff.models.PAGE", 2)
    for name in "abc":
        make_model(name)
    assert listed(staff_browser) == ["a", "b"]
    assert listed(staff_browser, "?skip=2") == ["c"]
    assert 'href="?q=&amp;skip' not in staff_browser.get("/staff/models/").content.decode()


def test_nobody_else_sees_them(browse: Callable[[User], Client], owner: User) -> None:
    assert browse(owner).get("/staff/models/").status_code == 404
