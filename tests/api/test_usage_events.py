"""Usage in batches: archived whole or not at all, told about to its sender alone, the same again the same."""

import gzip
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import msgspec
import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import ApiKey
from api.usage_events import MOST_GZIPS
from billing.models import Balance, QuarantinedLine, Segment, UsageEvent
from billing.posting import post_segment
from gateway.faces.credentials import create_credential
from tests.cast import DOLLAR, give_credit, make_key, make_model, make_organization, raw, usage_line

pytestmark = pytest.mark.django_db
URL = "/api/v1/usage/events"
CHARGE = 1000 * 3_000 + 100 * 15_000


@pytest.fixture(autouse=True)
def _own_archive(settings: Any, tmp_path: Any) -> None:
    archive = {**settings.STORAGES["archive"], "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "archive": archive}


@pytest.fixture
def key() -> ApiKey:
    organization = make_organization()
    make_model()
    give_credit(organization, DOLLAR)
    return make_key(organization)[0]


@pytest.fixture
def secret() -> str:
    return create_credential("shipper", sources=["ship-1", "ship-2"], now=datetime.now(UTC))[1]


def line(key: ApiKey, **fields: Any) -> dict[str, Any]:
    return usage_line(key, **{"source": "ship-1", **fields})


def send(client: Client, secret: str, content: bytes, *, format_: str = "", **headers: str) -> HttpResponse:
    named = {"Authorization": f"Bearer {secret}", "X-Source": "ship-1"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    address = URL + (f"?format={format_}" if format_ else "")
    return client.post(address, content, content_type="application/json", headers=named)  # type: ignore[return-value]


def told(client: Client, secret: str, address: str) -> Any:
    for segment in Segment.objects.unposted():
        post_segment(segment.pk, now=datetime.now(UTC))
    answer = client.get(address, headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize("pack", [lambda lines: raw(*lines), msgspec.json.encode])
@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_is_posted_and_told_about(client: Client, secret: str, key: ApiKey, pack: Any, *, packed: bool) -> None:
    lines = [line(key, seq=seq) for seq in (1, 2)]
    content = pack([*lines, lines[0], {**line(key, seq=3), "model": "nobody's"}])
    headers = {"Content_Encoding": "gzip"} if packed else {}
    answer = send(client, secret, gzip.compress(content) if packed else content, **headers)
    assert answer.status_code == 202
    found = told(client, secret, answer.headers["Location"])
    assert [found[name] for name in ("posted", "lines", "new", "duplicate", "quarantined")] == [True, 4, 2, 1, 1]
    assert found["reasons"] == {"unknown_model": 1}
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR - 2 * CHARGE


def test_what_waits_is_told_as_waiting(client: Client, secret: str, key: ApiKey) -> None:
    address = send(client, secret, raw(line(key))).headers["Location"]
    found = client.get(address, headers={"Authorization": f"Bearer {secret}"}).json()
    assert (found["posted"], found["new"]) == (False, None)


def test_the_same_batch_again_is_the_same_batch(client: Client, secret: str, key: ApiKey) -> None:
    content = raw(line(key))
    answers = [send(client, secret, content).json() for _ in range(2)]
    # However it is packed: what counts is the content.
    answers.append(send(client, secret, gzip.compress(content), Content_Encoding="gzip").json())
    assert [answer["new_batch"] for answer in answers] == [True, False, False]
    assert Segment.objects.count() == 1
    assert send(client, secret, content, X_Source="ship-2").json()["new_batch"]


def test_an_idempotency_key_is_one_batch_and_other_content_a_conflict(client: Client, secret: str, key: ApiKey) -> None:
    content = raw(line(key))
    for new in (True, False):
        assert send(client, secret, content, Idempotency_Key="a").json()["new_batch"] is new
    assert send(client, secret, raw(line(key, seq=2)), Idempotency_Key="a").status_code == 409
    assert send(client, secret, content, Idempotency_Key="b").json()["new_batch"]
    assert send(client, secret, content, Idempotency_Key="x" * 201).status_code == 400


def test_another_credentials_batch_looks_like_none(client: Client, secret: str, key: ApiKey) -> None:
    address = send(client, secret, raw(line(key))).headers["Location"]
    _, other = create_credential("other", sources=["ship-1"], now=datetime.now(UTC))
    for asked in (address, f"{URL}/api-{'0' * 40}"):
        assert client.get(asked, headers={"Authorization": f"Bearer {other}"}).status_code == 404
    assert client.get(address).status_code == 401
    # The same content under another credential is a batch of its own, and its events count once.
    again = send(client, other, raw(line(key)))
    assert again.json()["new_batch"]


def test_a_sources_name_is_needed_unless_there_is_only_one(client: Client, secret: str, key: ApiKey) -> None:
    assert send(client, secret, b"", X_Source="").status_code == 400
    assert send(client, secret, b"", X_Source="ship-3").status_code == 403
    _, only = create_credential("only", sources=["ship-1"], now=datetime.now(UTC))
    assert send(client, only, raw(line(key)), X_Source="").status_code == 202
    assert Segment.objects.get().source == "ship-1"


def test_a_line_of_another_source_or_organization_waits(client: Client, key: ApiKey) -> None:
    mine = key.organization.public_id
    foreign, _ = make_key(make_organization("Other"))
    _, bound = create_credential("bound", sources=["ship-*"], organizations=[mine], now=datetime.now(UTC))
    content = raw(line(key), line(foreign, seq=2), line(key, seq=3, source="ship-2"), line(foreign, seq=4, org=mine))
    found = told(client, bound, send(client, bound, content).headers["Location"])
    assert found["reasons"] == {"foreign_organization": 1, "wrong_organization": 1, "wrong_source": 1}
    assert UsageEvent.objects.get().api_key_id == key.pk


@pytest.mark.parametrize("wrong", ["", "nonsense", "km-gw-" + "a" * 46])
def test_nobody_else_gets_in(client: Client, wrong: str) -> None:
    assert send(client, wrong, b"{}").status_code == 401


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (gzip.compress(b"{}\n" * 1000, mtime=0)[:-9], {"Content_Encoding": "gzip"}),
        (b"{}", {"Content_Encoding": "gzip"}),
        (b"{}", {"Content_Encoding": "br"}),
        (b'[{"v":1}', {}),
        (b'[{"v":1}] x', {}),
        (b"x" * 300_000, {}),
    ],
)
def test_what_can_not_be_unpacked_is_refused_and_nothing_of_it_stored(
    client: Client, secret: str, content: bytes, headers: dict[str, str]
) -> None:
    """Lago 4772: a failed batch answered an error, yet stayed stored."""
    answer = send(client, secret, content, **headers)
    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert not Segment.objects.exists()


def test_an_unknown_format_is_refused(client: Client, secret: str) -> None:
    answer = send(client, secret, b"{}", format_="csv")
    assert (answer.status_code, "keymeter" in answer.json()["detail"]) == (400, True)


def test_too_much_is_413(client: Client, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.batches.LARGEST", 1024 * 1024)
    bomb = gzip.compress(b"{%s}\n" % (b" " * 97) * 20_000)
    answer = send(client, secret, bomb, Content_Encoding="gzip")
    assert (answer.status_code, "1 MiB" in answer.json()["detail"]) == (413, True)
    monkeypatch.setattr("api.usage_events.LARGEST_BODY", 1024 * 1024)
    assert send(client, secret, b"{%s}\n" % (b" " * 97) * 12_000).status_code == 413
    assert not Segment.objects.exists()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"v":1,"id":"\x00"}', "malformed"),
        (b"\xff\xfe\xfa", "malformed"),
        (b"null", "malformed"),
        (b'"text"', "malformed"),
        (b"[" * 5000 + b"]" * 5000, "malformed"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "malformed"),
        (b'{"x":"' + b"y" * 70_000 + b'"}', "malformed"),
    ],
)
def test_bad_lines_wait_and_the_good_ones_are_posted(
    client: Client, secret: str, key: ApiKey, bad: bytes, reason: str
) -> None:
    content = raw(line(key)) + bad + b"\n" + raw(line(key, seq=2))
    found = told(client, secret, send(client, secret, content).headers["Location"])
    assert (found["new"], found["quarantined"], found["reasons"]) == (2, 1, {reason: 1})
    # Of one that is longer than any may be, the beginning.
    assert bad.startswith(bytes(QuarantinedLine.objects.get().raw)[: 64 * 1024])


def test_members_of_an_array_that_are_no_lines_wait(client: Client, secret: str, key: ApiKey) -> None:
    good = msgspec.json.encode(line(key))
    content = b"[" + good + b', 7, "a,]b\\"", [1,\n2], {"v": nonsense}]'
    found = told(client, secret, send(client, secret, content).headers["Location"])
    assert (found["lines"], found["new"], found["quarantined"]) == (5, 1, 4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"usage": {"input_tokens": -1}}, "malformed"),
        ({"usage": {"input_tokens": 10**30}}, "malformed"),
        ({"usage": {"output_tokens": 10**9}}, "implausible"),
        ({"usage": {"bananas": 1}}, "malformed"),
        ({"key": "key_nobody"}, "unknown_key"),
        ({"model": "nobody"}, "unknown_model"),
        ({"usage": {"images": 2}}, "unpriced"),
    ],
)
def test_every_bad_value_waits_with_its_reason(
    client: Client, secret: str, key: ApiKey, change: dict[str, Any], reason: str
) -> None:
    answer = send(client, secret, raw({**line(key), **change}))
    assert told(client, secret, answer.headers["Location"])["reasons"] == {reason: 1}
    assert Balance.objects.get(organization=key.organization).nanos == DOLLAR


@pytest.mark.parametrize(("announced", "status"), [("999", 400), ("", 411), ("many", 411)])
def test_half_a_batch_is_never_taken_for_one(
    client: Client, secret: str, key: ApiKey, announced: str, status: int
) -> None:
    """A sender that is cut off sends it again, under the same Idempotency-Key."""
    content = raw(line(key))
    headers = {"Authorization": f"Bearer {secret}", "X-Source": "ship-1", "Idempotency-Key": "a"}
    cut = {"wsgi.input": BytesIO(content), "CONTENT_LENGTH": announced, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = client.generic("POST", URL, content, "application/json", headers=headers, **cut)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert not Segment.objects.exists()
    assert send(client, secret, content, Idempotency_Key="a").json()["new_batch"]


def test_a_batch_has_no_more_lines_than_are_posted_at_once(
    client: Client, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.batches.MOST_LINES", 3)
    for content in (b"{}\n" * 4, b"[1,2,3,4]"):
        assert send(client, secret, content).status_code == 413
    assert not Segment.objects.exists()
    assert send(client, secret, b"{}\n" * 3).status_code == 202


def test_many_gzips_in_one_body_are_refused(client: Client, secret: str) -> None:
    packed = gzip.compress(b"{}\n") * (MOST_GZIPS + 1)
    answer = send(client, secret, packed, Content_Encoding="gzip")
    assert (answer.status_code, "pack it in one" in answer.json()["detail"]) == (400, True)


def test_a_credential_that_sends_too_often_waits(client: Client, secret: str, settings: Any) -> None:
    settings.USAGE_BATCHES_PER_MINUTE = 2
    statuses = [send(client, secret, b"{}\n").status_code for _ in range(5)]
    assert statuses[:2] == [202, 202]
    assert 429 in statuses
