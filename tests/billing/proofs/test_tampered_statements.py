"""Statements: each row that is tampered with turns its proof red."""

import pytest

from accounts.models import ApiKey
from billing.models import (
    LedgerTransaction,
    Statement,
)
from tests.billing.proofs.conftest import DAY
from tests.billing.proofs.tampering import Tamper, offender

pytestmark = pytest.mark.usefixtures("right_before")


def test_statements(statement: Statement, tamper: Tamper) -> None:
    tamper("UPDATE billing_statement SET closing_nanos = closing_nanos + 1 WHERE id = %s", statement.pk)
    assert f"statement 1 of organization {statement.organization_id}: opens" in offender("statements")


def test_a_statement_of_which_a_line_is_gone(statement: Statement, tamper: Tamper) -> None:
    tamper("DELETE FROM billing_statementline WHERE statement_id = %s AND section = 'usage'", statement.pk)
    assert f"{statement.line_count - 1} of {statement.line_count} lines" in offender("statements")


def test_a_statement_with_money_under_another_heading(statement: Statement, tamper: Tamper) -> None:
    """Its sum is right."""
    tamper("UPDATE billing_statementline SET section = 'refund' WHERE section = 'grant'")
    assert "grant come to 0" in offender("statements")


def test_a_statement_with_usage_of_another_key(key: ApiKey, statement: Statement, tamper: Tamper) -> None:
    tamper("UPDATE billing_statementline SET api_key = 'key_zzz' WHERE section = 'usage'")
    assert f"key {key.public_id}, model demo-chat: 0 requests" in offender("statements")


def test_a_statement_whose_transaction_is_another(statement: Statement, tamper: Tamper) -> None:
    """Money that the ledger has and the statement hasn't: not even the sum of its own lines shows it."""
    late = LedgerTransaction.objects.get(kind="grant", operation_key__endswith=":large")
    tamper("UPDATE billing_ledgertransaction SET event_day = %s WHERE id = %s", DAY, late.pk)
    assert "grant come to" in offender("statements", "accounts")


def test_a_statement_that_is_missing_in_its_chain(statement: Statement, tamper: Tamper) -> None:
    tamper("UPDATE billing_statement SET number = 2 WHERE id = %s", statement.pk)
    assert "statement 2 of organization" in offender("statements")
