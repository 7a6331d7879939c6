"""What HiAPI's API reference promises."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts import organizations
from billing.tariff import UnitPrice
from catalog.models import Model, Route
from hotstate.records import Limits
from tests.cast import make_model
from tests.gateway.conftest import Answer, announce
from tests.seeds.conftest import Vendor

PRO, FAST = "Nano-Banana-Pro", "Nano-Banana"
RATIOS = ["1:1", "16:9", "9:16", "4:3", "3:4"]
SIZES = {PRO: ["1K", "2K"], FAST: ["1K"]}
PER_PICTURE = [UnitPrice("images", 50_000_000), UnitPrice("images", 100_000_000, variant="2K")]
CAT = {"model": PRO, "stream": False, "messages": [{"role": "user", "content": "Draw a cute cat"}]}
CONFIG = {"aspect_ratio": "1:1", "image_size": "1K"}
# The code example.
SILL = {
    "model": PRO,
    "stream": False,
    "messages": [{"role": "user", "content": "Draw a cute cat sitting on a windowsill"}],
    "extra_body": {"google": {"image_config": CONFIG}},
}
PATH = "/v1/chat/completions"


@pytest.fixture
def hiapi(vendor: Callable[[str], Vendor]) -> Vendor:
    found = vendor("hiapi")
    for name, sizes in SIZES.items():
        if not Model.objects.filter(public_id=name).exists():
            parameters = {"aspect_ratios": RATIOS, "image_sizes": sizes, "most_images": 1}
            model = make_model(name, prices=PER_PICTURE, families=["chat"], **parameters)
            Route.objects.filter(model=model).update(upstream_model="demo-image")
    Model.objects.filter(public_id__in=SIZES).update(enabled=True)
    announce()
    return found


def pictures(message: Any) -> list[str]:
    return [picture["image_url"]["url"] for picture in message["images"]]


def is_drawn(hiapi: Vendor, answer: Answer) -> None:
    """It is a whole answer with one picture, and its request id is the line's."""
    assert answer.status == 200
    (choice,) = answer.json["choices"]
    (picture,) = pictures(choice["message"])
    assert picture.startswith("data:image/png;base64,")
    assert (answer.json["object"], answer.json["model"], choice["finish_reason"]) == ("chat.completion", PRO, "stop")
    assert answer.headers["content-type"] == "application/json"
    (line,) = hiapi.gateway.lines()
    assert answer.headers["x-request-id"] == line["id"]


def test_the_quick_start(hiapi: Vendor) -> None:
    is_drawn(hiapi, hiapi.gateway.post(PATH, CAT, secret=hiapi.secret))
    assert hiapi.charged() == ({"requests": 1, "images": 1}, 50_000_000)


class TestPicturesOutOfChat:
    def test_the_example_as_it_is_sent_literally(self, hiapi: Vendor) -> None:
        is_drawn(hiapi, hiapi.gateway.post(PATH, SILL, secret=hiapi.secret))
        assert hiapi.sent()["extra_body"] == SILL["extra_body"]
        assert hiapi.charged() == ({"requests": 1, "images": 1}, 50_000_000)

    def test_the_same_as_the_sdk_merges_it(self, hiapi: Vendor) -> None:
        made = hiapi.client().chat.completions.create(
            model=PRO,
            messages=[{"role": "user", "content": "Draw a cute cat sitting on a windowsill"}],
            extra_body={"google": {"image_config": CONFIG}},
        )
        assert len(pictures(made.choices[0].message.model_dump())) == 1
        assert "google" not in hiapi.sent()
        assert hiapi.sent()["extra_body"] == SILL["extra_body"]
        assert hiapi.charged() == ({"requests": 1, "images": 1}, 50_000_000)

    @pytest.mark.parametrize("ratio", RATIOS)
    def test_each_ratio(self, hiapi: Vendor, ratio: str) -> None:
        body = {**CAT, "extra_body": {"google": {"image_config": {"aspect_ratio": ratio}}}}
        is_drawn(hiapi, hiapi.gateway.post(PATH, body, secret=hiapi.secret))
        assert hiapi.sent()["extra_body"]["google"]["image_config"] == {"aspect_ratio": ratio}
        assert hiapi.charged() == ({"requests": 1, "images": 1}, 50_000_000)

    @pytest.mark.parametrize(
        ("config", "nanos"),
        [
            (None, 50_000_000),
            ({}, 50_000_000),
            ({"aspect_ratio": "16:9"}, 50_000_000),
            ({"image_size": "1K"}, 50_000_000),
            ({"image_size": "2K"}, 100_000_000),
        ],
    )
    def test_what_isnt_said_is_left_to_the_model_and_has_the_default_size_s_price(
        self, hiapi: Vendor, config: dict[str, str] | None, nanos: int
    ) -> None:
        extra = {} if config is None else {"extra_body": {"google": {"image_config": config}}}
        is_drawn(hiapi, hiapi.gateway.post(PATH, {**CAT, **extra}, secret=hiapi.secret))
        # Square and 1K are the model's own defaults.
        assert {name: hiapi.sent()[name] for name in hiapi.sent() if name == "extra_body"} == extra
        assert hiapi.charged() == ({"requests": 1, "images": 1}, nanos)

    def test_two_k_has_its_price_and_is_pro_only(self, hiapi: Vendor) -> None:
        large = {"google": {"image_config": {"image_size": "2K"}}}
        refused = hiapi.gateway.post(PATH, {**CAT, "model": FAST, "extra_body": large}, secret=hiapi.secret)
        assert refused.error == (400, "new_api_error", "")
        assert "1K" in refused.json["error"]["message"]
        hiapi.uncharged()
        is_drawn(hiapi, hiapi.gateway.post(PATH, {**CAT, "extra_body": large}, secret=hiapi.secret))
        assert hiapi.charged() == ({"requests": 1, "images": 1}, 100_000_000)

    def test_a_ratio_that_isnt_offered_is_a_400_that_says_what_is(self, hiapi: Vendor) -> None:
        wide = {"google": {"image_config": {"aspect_ratio": "21:9"}}}
        answer = hiapi.gateway.post(PATH, {**CAT, "extra_body": wide}, secret=hiapi.secret)
        assert answer.error == (400, "new_api_error", "")
        assert ", ".join(RATIOS) in answer.json["error"]["message"]
        assert answer.json["error"]["param"] == "extra_body.google.image_config.aspect_ratio"
        hiapi.uncharged()

    def test_streamed(self, hiapi: Vendor) -> None:
        stream = hiapi.client().chat.completions.create(
            model=FAST, messages=[{"role": "user", "content": "Draw a cute cat"}], stream=True
        )
        deltas = [chunk.choices[0].delta.model_dump() for chunk in stream]
        assert [len(pictures(delta)) for delta in deltas if "images" in delta] == [1]
        assert hiapi.charged() == ({"requests": 1, "images": 1}, 50_000_000)


def test_the_documented_error(hiapi: Vendor) -> None:
    answer = hiapi.gateway.post(PATH, CAT, secret="YOUR_API_KEY")
    assert answer.error == (401, "new_api_error", "")
    assert "YOUR_API_KEY" not in answer.json["error"]["message"]
    hiapi.uncharged()


def test_insufficient_permissions_are_403(hiapi: Vendor) -> None:
    narrow = hiapi.has_key(scopes=["models"])
    answer = hiapi.gateway.post(PATH, CAT, secret=narrow)
    assert answer.error == (403, "new_api_error", "")
    assert "lacks the scope" in answer.json["error"]["message"]
    hiapi.uncharged()


def test_an_account_that_is_suspended_is_403(hiapi: Vendor) -> None:
    assert hiapi.gateway.organization
    organizations.suspend(hiapi.gateway.organization, actor=None, reason="test", now=datetime.now(UTC))
    answer = hiapi.gateway.post(PATH, CAT, secret=hiapi.secret)
    assert answer.error == (403, "new_api_error", "")
    assert "suspended" in answer.json["error"]["message"]
    hiapi.uncharged()


def test_too_many_requests_are_429(hiapi: Vendor) -> None:
    hiapi.has_key(limits=Limits(requests_per_minute=1))
    is_drawn(hiapi, hiapi.gateway.post(PATH, CAT, secret=hiapi.secret))
    refused = hiapi.gateway.post(PATH, CAT, secret=hiapi.secret)
    assert refused.error == (429, "new_api_error", "")
    assert int(refused.headers["retry-after"]) > 0
    assert hiapi.charged() == ({"requests": 1, "images": 1}, 50_000_000)
