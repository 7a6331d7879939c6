"""Proofs read one state of the books, also of empty ones, and write nothing."""

import pytest
from django.db import connection

from billing.proofs.proving import prove
from billing.proofs.shape import Extent, Finding, Proof
from tests.billing.proofs.conftest import red
from tests.cast import LONG_AGO


@pytest.mark.django_db(transaction=True)
def test_all_proofs_read_one_state_and_can_write_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look_around(_extent: Extent) -> Finding:
        with connection.cursor() as cursor:
            for name in ("transaction_isolation", "transaction_read_only"):
                cursor.execute(f"SHOW {name}")
                seen.append(cursor.fetchone()[0])
        return Finding()

    monkeypatch.setattr("billing.proofs.proving.PROOFS", [Proof("look", "", look_around)])
    prove(LONG_AGO)
    assert seen == ["repeatable read", "on"]


@pytest.mark.django_db
def test_empty_books_are_right() -> None:
    assert red(LONG_AGO) == {}
