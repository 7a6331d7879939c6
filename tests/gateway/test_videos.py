"""Videos: held by the seconds that are asked for, charged once by what was made, and had again by whose they are."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from billing.tariff import UnitPrice
from catalog.models import Model
from gateway.models import UnfinishedWork
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization
from tests.gateway.conftest import RunningGateway, announce

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
MODEL = "demo-film"
# Nano-dollars a second.
PLAIN, LARGE = 20_000_000, 50_000_000


@pytest.fixture
def gateway(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningGateway]:
    monkeypatch.setattr("gateway.caretaker.POLL_SECONDS", 0.05)
    monkeypatch.setattr("gateway.unfinished.FIRST_PAUSE", timedelta(milliseconds=100))
    monkeypatch.setattr("gateway.unfinished.LONGEST_PAUSE", timedelta(milliseconds=100))
    if not Model.objects.filter(public_id=MODEL).exists():
        prices = [UnitPrice("seconds", PLAIN), UnitPrice("seconds", LARGE, variant="1792x1024")]
        make_model(MODEL, prices=prices, families=["videos"])
    Model.objects.filter(public_id=MODEL).update(enabled=True)
    announce()
    assert gateway.organization
    gateway.key, gateway.secret = make_key(gateway.organization, scopes=["videos"])
    yield gateway
    UnfinishedWork.objects.all().delete()


def make(gateway: RunningGateway, prompt: str = "an otter", **fields: Any) -> Any:
    return gateway.post("/v1/videos", {"model": MODEL, "prompt": prompt, **fields})


def line(gateway: RunningGateway) -> dict[str, Any]:
    (found,) = gateway.lines()
    assert gateway.held_nanos() == found["charge_nanos"]
    return found


@pytest.mark.parametrize("reference", [False, True])
def test_the_sdk_makes_one_and_gets_its_content(gateway: RunningGateway, *, reference: bool) -> None:
    client = gateway.openai()
    more: Any = {"input_reference": ("first.png", b"a picture", "image/png")} if reference else {}
    made = client.videos.create(model=MODEL, prompt="an otter", seconds="8", size="1792x1024", **more)
    assert (made.status, made.model) == ("queued", MODEL)
    assert gateway.held_nanos() == 8 * LARGE
    found = line(gateway)
    assert (found["usage"], found["variant"]) == ({"requests": 1, "seconds": 8}, "1792x1024")
    assert found["charge_nanos"] == 8 * LARGE
    assert client.videos.retrieve(made.id).status == "completed"
    assert client.videos.download_content(made.id).content == b"v" * 24 * 8
    assert client.videos.delete(made.id).deleted
    assert gateway.request("GET", f"/v1/videos/{made.id}").status == 404


def test_without_a_length_the_upstream_is_told_the_usual_one(gateway: RunningGateway) -> None:
    assert make(gateway).json["seconds"] == "4"
    assert line(gateway)["charge_nanos"] == 4 * PLAIN


def test_one_that_fails_costs_nothing(gateway: RunningGateway) -> None:
    make(gateway, "an otter !fail")
    assert line(gateway)["outcome"] == "upstream_error"
    assert gateway.held_nanos() == 0


def test_who_deletes_one_that_is_being_made_pays_it(gateway: RunningGateway) -> None:
    name = make(gateway, "an otter !looks=999999").json["id"]
    assert gateway.written() == 0
    assert gateway.request("DELETE", f"/v1/videos/{name}").status == 200
    assert line(gateway)["charge_nanos"] == 4 * PLAIN


@pytest.mark.parametrize(("method", "after"), [("GET", ""), ("DELETE", ""), ("GET", "/content")])
def test_another_organization_s_is_not_there(gateway: RunningGateway, method: str, after: str) -> None:
    name = make(gateway).json["id"]
    other = make_organization("Other")
    give_credit(other, DOLLAR)
    _, secret = make_key(other, scopes=["videos"])
    theirs = gateway.request(method, f"/v1/videos/{name}{after}", secret=secret)
    none = gateway.request(method, f"/v1/videos/video-none{after}", secret=secret)
    assert (theirs.status, theirs.body) == (404, none.body)
    assert gateway.request("GET", f"/v1/videos/{name}{after}").status == 200
    line(gateway)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"seconds": "0"}, "seconds"),
        ({"seconds": "601"}, "seconds"),
        ({"seconds": True}, "seconds"),
        ({"seconds": "four"}, "seconds"),
        ({"input_reference": {"file_id": "file-1"}}, "input_reference"),
        ({"size": 7}, "size"),
    ],
)
def test_what_cannot_be_counted_is_refused(gateway: RunningGateway, fields: Any, param: str) -> None:
    answer = make(gateway, **fields)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)
    assert gateway.lines(0) == []


def test_what_is_not_served_is_not_there(gateway: RunningGateway) -> None:
    name = make(gateway).json["id"]
    line(gateway)
    assert gateway.post(f"/v1/videos/{name}/remix", {"prompt": "a seal"}).status in (404, 405)
    assert gateway.request("GET", "/v1/videos").status == 405
