"""Segments that were posted, with lines that couldn't be charged, and pages about them."""

from datetime import UTC, datetime
from typing import Any

from django.test import Client

from accounts.models import ApiKey
from billing.models import (
    QuarantinedLine,
    Segment,
)
from billing.posting import post_segment
from tests.cast import make_segment, raw, usage_line


def now() -> datetime:
    """Of this moment: lines are made in it, and would be ahead of when this file was read."""
    return datetime.now(UTC)


def post(content: bytes, **fields: Any) -> Segment:
    segment = make_segment(content, **fields)
    assert post_segment(segment.pk, now=now())
    return segment


def post_waiting() -> None:
    for segment in Segment.objects.unposted():
        post_segment(segment.pk, now=now())


def shown(browser: Client, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def of_unknown_model(key: ApiKey, count: int = 1, **fields: Any) -> list[QuarantinedLine]:
    lines = [usage_line(key, "new-model", seq=seq, **fields) for seq in range(1, count + 1)]
    segment = post(raw(*lines))
    return list(segment.quarantined_lines.order_by("line"))
