"""Gateways ship segments; nobody else does, and nothing is stored twice."""

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from billing.models import Segment
from gateway.faces.credentials import create_credential
from gateway.models import GatewayCredential

pytestmark = pytest.mark.django_db
URL = "/api/v1/usage/segments/gw-1.0001"


@pytest.fixture
def secret() -> str:
    return create_credential("gateway", sources=["gw-*"], now=datetime.now(UTC))[1]


def put(client: Client, secret: str, content: bytes = b"{}\n", *, source: str = "gw-1", url: str = URL) -> HttpResponse:
    return client.put(  # type: ignore[return-value]
        url,
        content,
        content_type="application/x-ndjson",
        headers={"Authorization": f"Bearer {secret}", "X-Source": source},
    )


def test_a_segment_is_archived_and_registered(client: Client, secret: str) -> None:
    assert put(client, secret).status_code == 201
    segment = Segment.objects.get()
    assert (segment.identity, segment.source, segment.size_bytes, segment.posted_at) == ("gw-1.0001", "gw-1", 3, None)


def test_the_same_segment_again_is_the_same(client: Client, secret: str) -> None:
    assert [put(client, secret).status_code for _ in range(2)] == [201, 200]
    assert Segment.objects.count() == 1


def test_other_content_under_a_known_identity_is_a_conflict(client: Client, secret: str) -> None:
    put(client, secret)
    assert put(client, secret, b"[]\n").status_code == 409


def test_an_empty_segment_is_taken(client: Client, secret: str) -> None:
    assert put(client, secret, b"").status_code == 201


@pytest.mark.parametrize("wrong", ["", "nonsense", "km-gw-" + "a" * 46])
def test_nobody_else_gets_in(client: Client, wrong: str) -> None:
    assert put(client, wrong).status_code == 401
    assert not Segment.objects.exists()


def test_a_revoked_credential_gets_in_no_more(client: Client, secret: str) -> None:
    GatewayCredential.objects.update(revoked_at=datetime.now(UTC))
    assert put(client, secret).status_code == 401


def test_a_gateway_writes_only_its_own_sources(client: Client, secret: str) -> None:
    assert put(client, secret, source="other").status_code == 403


def test_a_segment_keeps_whose_usage_its_sender_may_write(client: Client) -> None:
    _, secret = create_credential("bound", sources=["gw-*"], organizations=["org_a"], now=datetime.now(UTC))
    put(client, secret)
    assert Segment.objects.get().organizations == ["org_a"]


def test_when_a_gateway_was_last_seen_is_noted_once_a_minute(client: Client, secret: str) -> None:
    put(client, secret)
    seen = GatewayCredential.objects.get().last_seen_at
    assert seen
    put(client, secret)
    assert GatewayCredential.objects.get().last_seen_at == seen
    GatewayCredential.objects.update(last_seen_at=seen - timedelta(minutes=2))
    put(client, secret)
    assert GatewayCredential.objects.get().last_seen_at >= seen


@pytest.mark.parametrize(
    "identity", ["-x", "replay-1", "api-" + "0" * 40, "file-" + "0" * 40, "gw-2.0001", "gw-1", "gw-1./"]
)
def test_a_name_that_is_not_the_senders_own_is_refused(client: Client, secret: str, identity: str) -> None:
    """Whoever had the name of a replay first could make other organizations' quarantined lines vanish."""
    assert put(client, secret, url=f"/api/v1/usage/segments/{identity}").status_code in (400, 404)
    assert not Segment.objects.exists()


def test_who_shipped_a_segment_is_kept(client: Client, secret: str) -> None:
    put(client, secret)
    assert Segment.objects.get().sent_by == "gateway"


@pytest.mark.parametrize(("length", "status"), [(80, 201), (81, 400)])
def test_a_source_with_too_long_a_name_is_refused(client: Client, secret: str, length: int, status: int) -> None:
    source = "gw-".ljust(length, "1")
    assert put(client, secret, source=source, url=f"/api/v1/usage/segments/{source}.1").status_code == status


@pytest.mark.parametrize(("announced", "status"), [("999", 400), ("", 411)])
def test_half_a_segment_is_never_taken_for_one(client: Client, secret: str, announced: str, status: int) -> None:
    """Its sender deletes it once it is taken; and what was taken can't be replaced by the whole."""
    headers = {"Authorization": f"Bearer {secret}", "X-Source": "gw-1"}
    cut = {"wsgi.input": BytesIO(b"{}"), "CONTENT_LENGTH": announced, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = client.generic("PUT", URL, b"{}", "application/x-ndjson", headers=headers, **cut)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert not Segment.objects.exists()
    assert put(client, secret).status_code == 201


def test_a_segment_has_no_more_lines_than_are_posted_at_once(
    client: Client, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.intake.MOST_LINES", 3)
    for content in (b"\n" * 4, b"{}\n{}\n{}\n{}"):
        answer = put(client, secret, content)
        assert (answer.status_code, "3 lines" in answer.json()["detail"]) == (413, True)
    assert not Segment.objects.exists()
    assert put(client, secret, b"{}\n{}\n{}").status_code == 201


def test_a_credential_that_ships_too_often_waits(client: Client, secret: str, settings: Any) -> None:
    settings.USAGE_SEGMENTS_PER_MINUTE = 2
    answers = [put(client, secret) for _ in range(5)]
    # A minute may begin in between.
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert 0 < int(refused[0].headers["Retry-After"]) <= 60
    _, another = create_credential("another", sources=["gw-*"], now=datetime.now(UTC))
    assert put(client, another).status_code == 200
