"""Segments that are posted, and the customer whose usage is in them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.models import ApiKey
from billing.models import Segment
from billing.posting import post_segment
from tests.cast import (
    DOLLAR,
    give_credit,
    make_key,
    make_model,
    make_organization,
    make_segment,
)

CHARGE = 1000 * 3_000 + 100 * 15_000


@pytest.fixture
def key() -> ApiKey:
    organization = make_organization()
    make_model()
    give_credit(organization, DOLLAR)
    return make_key(organization)[0]


def post(content: bytes, **fields: Any) -> Segment:
    segment = make_segment(content, **fields)
    posted = post_segment(segment.pk, now=datetime.now(UTC))
    assert posted
    return posted


def counts(segment: Segment) -> tuple[int, int, int, int]:
    return segment.lines, segment.new, segment.duplicate, segment.quarantined
