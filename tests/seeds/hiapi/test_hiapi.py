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
from tests.gateway.conftest import announce
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


def test_the_quick_start(hiapi: Vendor) -> None:
    answer = hiapi.gateway.post(PATH, CAT, secret=hiapi.secret)
    (picture,) = pictures(answer.json["choices"][0]["message"])
    assert picture.startswith("data:image/png;base64,")
    assert hiapi.charged() == ({"requests": 1, "images": 1}, 50_000_000)


class TestPicturesOutOfChat:
    def test_the_example_as_it_is_sent_literally(self, hiapi: Vendor) -> None:
        answer = hiapi.gateway.post(PATH, SILL, secret=hiapi.secret)
        assert len(pictures(answer.json["choices"][0]["message"])) == 1
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
        assert hiapi.gateway.post(PATH, body, secret=hiapi.secret).status == 200
        assert hiapi.sent()["extra_body"]["google"]["image_config"] == {"aspect_ratio": ratio}

    def test_two_k_has_its_price_and_is_pro_only(self, hiapi: Vendor) -> None:
        large = {"google": {"image_config": {"image_size": "2K"}}}
        refused = hiapi.gateway.post(PATH, {**CAT, "model": FAST, "extra_body": large}, secret=hiapi.secret)
        assert refused.error == (400, "new_api_error", "")
        assert "1K" in refused.json["error"]["message"]
        assert hiapi.gateway.post(PATH, {**CAT, "extra_body": large}, secret=hiapi.secret).status == 200
        assert hiapi.charged() == ({"requests": 1, "images": 1}, 100_000_000)

    def test_a_ratio_that_isnt_offered_is_a_400_that_says_what_is(self, hiapi: Vendor) -> None:
        wide = {"google": {"image_config": {"aspect_ratio": "21:9"}}}
        answer = hiapi.gateway.post(PATH, {**CAT, "extra_body": wide}, secret=hiapi.secret)
        assert answer.error == (400, "new_api_error", "")
        assert ", ".join(RATIOS) in answer.json["error"]["message"]
        assert answer.json["error"]["param"] == "extra_body.google.image_config.aspect_ratio"

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


def test_insufficient_permissions_are_403(hiapi: Vendor) -> None:
    narrow = hiapi.has_key(scopes=["models"])
    assert hiapi.gateway.post(PATH, CAT, secret=narrow).error == (403, "new_api_error", "")


def test_an_account_that_is_suspended_is_403(hiapi: Vendor) -> None:
    assert hiapi.gateway.organization
    organizations.suspend(hiapi.gateway.organization, actor=None, reason="test", now=datetime.now(UTC))
    assert hiapi.gateway.post(PATH, CAT, secret=hiapi.secret).error == (403, "new_api_error", "")


def test_too_many_requests_are_429(hiapi: Vendor) -> None:
    hiapi.has_key(limits=Limits(requests_per_minute=1))
    assert hiapi.gateway.post(PATH, CAT, secret=hiapi.secret).status == 200
    refused = hiapi.gateway.post(PATH, CAT, secret=hiapi.secret)
    assert refused.error == (429, "new_api_error", "")
    assert int(refused.headers["retry-after"]) > 0
    assert hiapi.charged() == ({"requests": 1, "images": 1}, 50_000_000)
