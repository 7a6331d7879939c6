"""Videos: held by the seconds that are asked for, charged once by what was made, and had again by whose they are."""

import gzip
import socket
from collections.abc import Iterator
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from billing.tariff import UnitPrice
from catalog.models import Model
from gateway.models import UnfinishedWork
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization
from tests.gateway.conftest import RunningGateway, Says, announce
from tests.gateway.scripted import whole
from tests.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
MODEL = "demo-film"
# Nano-dollars a second.
PLAIN, LARGE = 20_000_000, 50_000_000


@pytest.fixture
def gateway(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningGateway]:
    monkeypatch.setattr("gateway.stored.caretaker.POLL_SECONDS", 0.05)
    monkeypatch.setattr("gateway.stored.unfinished.FIRST_PAUSE", timedelta(milliseconds=100))
    monkeypatch.setattr("gateway.stored.unfinished.LONGEST_PAUSE", timedelta(milliseconds=100))
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


def test_who_goes_before_the_upstream_has_answered_pays_what_it_makes(gateway: RunningGateway, says: Says) -> None:
    """It goes on with it all the same: by leaving in time, anybody could have videos made that nobody pays."""
    go = Event()
    says(go, whole(b'{"id": "video_left", "object": "video", "status": "queued", "seconds": "4"}'))
    body = b'{"model": "demo-film", "prompt": "an otter"}'
    head = f"POST /v1/videos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.secret}\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        wait_until(lambda: gateway.open_holds(), "the request to be admitted")
    go.set()
    wait_until(UnfinishedWork.objects.filter(upstream_id="video_left").exists, "the video to be looked after")
    assert gateway.held_nanos() == 4 * PLAIN
    says(whole(b'{"id": "video_left", "object": "video", "status": "completed", "seconds": "4"}'))
    assert line(gateway)["charge_nanos"] == 4 * PLAIN


def test_a_file_s_length_is_told_where_it_is_the_file_s(gateway: RunningGateway, says: Says) -> None:
    name = make(gateway).json["id"]
    line(gateway)
    film = b"film" * 1_000
    for content, headers in ((film, b""), (gzip.compress(film), b"Content-Encoding: gzip\r\n")):
        says(whole(content, headers=headers, content_type="video/mp4"))
        answer = gateway.request("GET", f"/v1/videos/{name}/content")
        assert (answer.body, answer.headers["content-type"]) == (film, "video/mp4")
        assert ("content-length" in answer.headers) == (not headers)
    says(whole(film, content_type="video/\xff\xfe"))
    assert gateway.request("GET", f"/v1/videos/{name}/content").headers["content-type"] == "application/octet-stream"


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
        ({"size": "1792x1024 "}, "size"),
        ({"size": "1792x1024\u200b"}, "size"),
    ],
)
def test_what_cannot_be_counted_is_refused(gateway: RunningGateway, fields: Any, param: str) -> None:
    answer = make(gateway, **fields)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)
    assert gateway.lines(0) == []


def test_a_size_that_the_model_hasn_t_got_is_refused(gateway: RunningGateway) -> None:
    Model.objects.filter(public_id=MODEL).update(image_sizes=["1280x720", "1792x1024"])
    announce()
    try:
        refused = make(gateway, size="1792X1024")
        assert (refused.status, refused.json["error"]["param"]) == (400, "size")
        assert make(gateway, size="1792x1024").status == 200
        assert line(gateway)["charge_nanos"] == 4 * LARGE
    finally:
        Model.objects.filter(public_id=MODEL).update(image_sizes=[])
        announce()


def test_what_is_not_served_is_not_there(gateway: RunningGateway) -> None:
    name = make(gateway).json["id"]
    line(gateway)
    assert gateway.post(f"/v1/videos/{name}/remix", {"prompt": "a seal"}).status in (404, 405)
    assert gateway.request("GET", "/v1/videos").status == 405
