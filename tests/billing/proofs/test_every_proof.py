"""The tests that tamper with books leave no proof out, and no proof looks at nothing."""

from pathlib import Path

from billing import proofs
from billing.models import (
    Statement,
)
from billing.proofs.proving import prove
from tests.billing.proofs.conftest import NEXT_NOON


def test_every_proof_has_looked_at_something(statement: Statement) -> None:
    idle = {result.name for result in prove(NEXT_NOON) if not result.checked}
    assert idle == set()


def test_every_proof_is_tampered_with() -> None:
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_tampered_*.py"))
    assert [proof.name for proof in proofs.PROOFS if f'offender("{proof.name}"' not in source] == []
