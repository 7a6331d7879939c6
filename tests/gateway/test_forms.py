"""Forms with files: transcriptions, edits and variations of images."""

import io
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.tariff import UnitPrice
from catalog.models import Model
from gateway.asking.forms import read_form
from gateway.errors import ApiError
from tests.cast import make_key, make_model
from tests.gateway.conftest import RunningGateway, announce

PRICES: dict[str, Any] = {
    "demo-image": [UnitPrice("images", 40_000_000)],
    # $0.006 a minute.
    "demo-transcription": [UnitPrice("seconds", 6_000_000, 60)],
}
# Three seconds, to the demo server.
SAID = b"twenty-five bytes of talk"


@pytest.fixture
def gateway(gateway: RunningGateway) -> RunningGateway:
    """With a model of each kind, and a key that may use them."""
    for name, prices in PRICES.items():
        if not Model.objects.filter(public_id=name).exists():
            family = "transcriptions" if name == "demo-transcription" else "images"
            make_model(name, prices=prices, families=[family], max_output_tokens=1_000)
    Model.objects.filter(public_id__in=PRICES).update(enabled=True)
    announce()
    assert gateway.organization
    gateway.key, gateway.secret = make_key(gateway.organization, scopes=["images", "audio"])
    return gateway


def line(gateway: RunningGateway) -> tuple[dict[str, int], int, bool]:
    """(meters, charge in nano-dollars, whether it is our count) of the only request."""
    (found,) = gateway.lines()
    assert gateway.held_nanos() == found["charge_nanos"]
    assert found["outcome"] == "completed"
    return found["usage"], found["charge_nanos"], found.get("estimated", False)


def sound(content: bytes = SAID) -> tuple[str, io.BytesIO]:
    return "said.mp3", io.BytesIO(content)


class TestTranscriptions:
    def test_reported_seconds_are_charged(self, gateway: RunningGateway) -> None:
        answer = gateway.openai().audio.transcriptions.create(model="demo-transcription", file=sound())
        assert answer.text == SAID.decode()
        assert line(gateway) == ({"requests": 1, "seconds": 3}, 300_000, False)

    def test_a_verbose_answer_says_how_long_it_is(self, gateway: RunningGateway) -> None:
        answer = gateway.openai().audio.transcriptions.create(
            model="demo-transcription", file=sound(), response_format="verbose_json"
        )
        assert answer.duration == 2.5
        assert line(gateway) == ({"requests": 1, "seconds": 3}, 300_000, False)

    def test_subtitles_report_nothing_and_are_estimated_by_bytes(self, gateway: RunningGateway) -> None:
        long = b"s" * 33_000
        answer = gateway.openai().audio.transcriptions.create(
            model="demo-transcription", file=sound(long), response_format="srt"
        )
        assert str(answer) == long.decode()
        assert line(gateway) == ({"requests": 1, "seconds": 3}, 300_000, True)

    def test_a_report_that_is_missing_is_estimated(self, gateway: RunningGateway) -> None:
        answer = gateway.openai().audio.transcriptions.create(
            model="demo-transcription", file=sound(), prompt="!nousage"
        )
        assert answer.text
        assert line(gateway) == ({"requests": 1, "seconds": 1}, 100_000, True)

    def test_the_longest_that_it_can_be_is_held(self, gateway: RunningGateway) -> None:
        # $1 is 10,000 seconds, which are 5,000,000 bytes.
        with pytest.raises(Exception, match="balance"):
            gateway.openai().audio.transcriptions.create(model="demo-transcription", file=sound(b"s" * 5_000_001))


class TestImages:
    @pytest.mark.parametrize("n", [1, 2])
    def test_edits_are_charged_by_image(self, gateway: RunningGateway, n: int) -> None:
        made = gateway.openai().images.edit(
            model="demo-image", image=("cat.png", io.BytesIO(b"pixels"), "image/png"), prompt="greyer", n=n
        )
        assert len(made.data or []) == n
        assert line(gateway) == ({"requests": 1, "images": n}, n * 40_000_000, False)

    def test_several_images_are_one_edit(self, gateway: RunningGateway) -> None:
        images = [(f"{name}.png", io.BytesIO(b"pixels"), "image/png") for name in "ab"]
        made = gateway.openai().images.edit(model="demo-image", image=images, prompt="together")
        assert len(made.data or []) == 1

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_variations(self, gateway: RunningGateway) -> None:
        made = gateway.openai().images.create_variation(
            model="demo-image", image=("cat.png", io.BytesIO(b"pixels"), "image/png"), n=2
        )
        assert len(made.data or []) == 2
        assert line(gateway) == ({"requests": 1, "images": 2}, 80_000_000, False)


class TestBadForms:
    FORM = "multipart/form-data; boundary=x"
    PART = b'--x\r\nContent-Disposition: form-data; name="file"'

    @pytest.mark.parametrize(
        ("body", "content_type", "param"),
        [
            (b"{}", "application/json", None),
            (b"--x", FORM, None),
            (b"--x--", FORM, "file"),
            (b"anything", "multipart/form-data", None),
            (b"anything", "multipart/form-data; boundary=" + "b" * 300, None),
            (PART + b"\r\n\r\ntext\r\n--x--", FORM, "file"),
            (PART + b'; filename="a"\r\n\r\ntext\r\n--x--', FORM, "model"),
        ],
    )
    def test_each_is_told(self, gateway: RunningGateway, body: bytes, content_type: str, param: str | None) -> None:
        answer = gateway.post("/v1/audio/transcriptions", body, headers={"Content-Type": content_type})
        assert (answer.error[0], answer.json["error"]["param"]) == (400, param)

    def test_more_fields_than_anybody_sends(self, gateway: RunningGateway) -> None:
        many = (self.PART + b"\r\n\r\nb\r\n") * 5_000 + b"--x--"
        answer = gateway.post("/v1/audio/transcriptions", many, headers={"Content-Type": self.FORM})
        assert answer.error[0] == 400

    @given(st.binary(max_size=200), st.text(max_size=40))
    def test_nothing_breaks_the_reading(self, body: bytes, content_type: str) -> None:
        for kind in (content_type, self.FORM):
            with suppress(ApiError):
                read_form(body, kind)


def test_a_fields_name_that_no_head_can_have_is_refused_and_not_passed_on(gateway: RunningGateway) -> None:
    """The head of a part for the upstream can't be made of it: it was answered with 500."""
    for head in (b'form-data; name="a\x10b"', b"form-data; name*=UTF-8''a%0D%0AX-Head:%20b"):
        part = b"--x\r\nContent-Disposition: " + head + b"\r\n\r\n1\r\n"
        image = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n1\r\n'
        model = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ndemo-image\r\n'
        body = part + image + model + b"--x--\r\n"
        sent = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = gateway.post("/v1/images/edits", body, headers=sent)
        assert answer.error == (400, "invalid_request_error", None), head


def part(name: str, content: bytes, more: str = "") -> bytes:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


IMAGE = part("image", b"pixels", '; filename="a.png"\r\nContent-Type: image/png')
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


class TestTricks:
    """What is judged is what is sent on: an upstream's parser may read a form otherwise than ours."""

    def test_the_last_of_several_fields_is_judged_and_the_only_one_sent(self, gateway: RunningGateway) -> None:
        fields = part("model", b"never") + part("model", b"demo-image") + part("n", b"9") + part("n", b"1")
        answer = gateway.post("/v1/images/edits", fields + IMAGE + b"--x--\r\n", headers=FORM)
        assert len(answer.json["data"]) == 1
        assert line(gateway)[1] == 40_000_000
        fields = part("model", b"demo-image") + part("model", b"never")
        assert gateway.post("/v1/images/edits", fields + IMAGE + b"--x--\r\n", headers=FORM).error[0] == 404

    @pytest.mark.parametrize(
        "field", [("N", b"9"), ("models", b"other"), ("n", b"9" * 20), ("n", b"1.0"), ("n", b"-1")]
    )
    def test_fields_are_judged_as_members_are(self, gateway: RunningGateway, field: tuple[str, bytes]) -> None:
        body = part("model", b"demo-image") + part(*field) + IMAGE + b"--x--\r\n"
        assert gateway.post("/v1/images/edits", body, headers=FORM).error[0] == 400
        assert gateway.lines(0) == []

    @pytest.mark.parametrize("name", ["../../etc/passwd", "a\\\\b", 'a\\"; name=\\"model', "", "é" * 300, ".."])
    def test_a_file_s_name_is_a_name(self, gateway: RunningGateway, name: str) -> None:
        image = part("image", b"pixels", f'; filename="{name}"')
        body = part("model", b"demo-image") + image + b"--x--\r\n"
        answer = gateway.post("/v1/images/edits", body, headers=FORM)
        assert answer.status in (200, 400)
        for _, told, *_ in read_form(body, FORM["Content-Type"]).files:
            assert not {"/", "\\", "\n"} & set(told)
        gateway.lines(1 if answer.status == 200 else 0)

    def test_a_form_in_a_form_is_no_file(self, gateway: RunningGateway) -> None:
        nested = b'--x\r\nContent-Disposition: form-data; name="image"\r\n'
        nested += b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n"
        nested += b'Content-Disposition: attachment; filename="a.png"\r\n\r\n1\r\n--y--\r\n'
        body = part("model", b"demo-image") + nested + b"--x--\r\n"
        answer = gateway.post("/v1/images/edits", body, headers=FORM)
        assert (answer.error[0], answer.json["error"]["param"]) == (400, "image")

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(part("model", b"demo-image") + IMAGE, id="never closed"),
            pytest.param(part("model", b"demo-image") + IMAGE[:-2], id="cut off"),
            pytest.param(b"--x\r\n" + b"A: b\r\n" * 100_000, id="a head without end"),
            pytest.param(b"--x\r\n\r\n\r\n" * 100_000 + b"--x--", id="parts without names"),
        ],
    )
    def test_half_a_form_is_none(self, gateway: RunningGateway, body: bytes) -> None:
        answer = gateway.post("/v1/images/edits", body, headers=FORM)
        assert answer.error == (400, "invalid_request_error", None)
        assert answer.json["error"]["message"].startswith("We could not parse")
        assert gateway.lines(0) == []
