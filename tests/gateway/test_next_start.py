"""What a gateway that stopped could not ship, the next one on its spool does: it is posted, and once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from billing.models import Balance, Segment, UsageEvent
from billing.posting import post_segment
from gateway.faces.credentials import create_credential
from tests.cast import DOLLAR
from tests.gateway.conftest import RunningGateway, free_port
from tests.gateway.fleet import running_fleet
from tests.waiting import wait_until


class Installation:
    """One gateway at a time on the same spool, a process each: a folder is locked until its process has ended."""

    def __init__(self, gateway: RunningGateway, spool: Path) -> None:
        self.spool = spool
        self._gateway = gateway
        _, self._credential = create_credential("ours", sources=["gw-*"], now=datetime.now(UTC))

    @contextmanager
    def serving(self, intake: str) -> Iterator[RunningGateway]:
        """Segments are closed by the stop alone, and shipped there."""
        told = {"INTAKE_URL": intake, "GATEWAY_CREDENTIAL": self._credential, "GATEWAY_SEGMENT_SECONDS": "3600"}
        with running_fleet(1, self.spool, **told) as [address]:
            port = urlsplit(address).port
            assert port
            yield replace(self._gateway, port=port, spool=self.spool)

    def left(self) -> list[Path]:
        return list(self.spool.glob("*/*.jsonl"))


@pytest.fixture
def archive(settings: Any, tmp_path: Path) -> None:
    storages = {**settings.STORAGES}
    storages["archive"] = {**storages["archive"], "OPTIONS": {"location": tmp_path / "archive"}}
    settings.STORAGES = storages


def test_the_next_start_ships_what_a_stop_had_to_leave(
    gateway: RunningGateway, archive: None, live_server: Any, tmp_path: Path
) -> None:
    installation = Installation(gateway, tmp_path / "spool")
    with installation.serving(f"http://127.0.0.1:{free_port()}") as first:
        answers = [first.chat() for _ in range(3)]
        charges = [line["charge_nanos"] for line in first.lines(3)]
    assert [answer.status for answer in answers] == [200] * 3
    (left,) = installation.left()
    assert not Segment.objects.exists()

    with installation.serving(live_server.url):
        wait_until(lambda: not left.exists(), "what was left to be shipped")
    segment = Segment.objects.get()
    assert left.stem == segment.identity
    # Nothing is left, so nothing is shipped again.
    assert installation.left() == []
    with installation.serving(live_server.url) as third:
        answers.append(third.chat())
        charges += [line["charge_nanos"] for line in third.lines(1)]
    assert installation.left() == []

    for shipped in Segment.objects.order_by("pk"):
        post_segment(shipped.pk, now=datetime.now(UTC))
    events = UsageEvent.objects.filter(organization=gateway.organization).order_by("pk")
    assert [str(event.pk) for event in events] == [answer.headers["x-request-id"] for answer in answers]
    assert [event.charge_nanos for event in events] == charges
    assert [shipped.new for shipped in Segment.objects.order_by("pk")] == [3, 1]
    # One source, whose numbers have no gap: it is the same gateway to the books.
    assert [(event.source, event.seq) for event in events] == [(segment.source, number) for number in (1, 2, 3, 4)]
    assert Balance.objects.get(organization=gateway.organization).nanos == DOLLAR - sum(charges)
