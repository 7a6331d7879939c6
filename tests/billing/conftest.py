"""For tests of money and usage: what they commit doesn't stay."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection


@pytest.fixture(autouse=True)
def _no_events_stay(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[None]:
    """Events are no table of Django's, which therefore doesn't empty it after tests that commit."""
    yield
    marker = request.node.get_closest_marker("django_db")
    if marker and marker.kwargs.get("transaction"):
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute("TRUNCATE billing_usageevent")
