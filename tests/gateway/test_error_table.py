"""docs/errors.md says what the gateway answers: all of it, and nothing else."""

import re
from pathlib import Path

import pytest

from gateway import errors
from gateway.deciding.verdicts import Verdict
from gateway.errors import ApiError, refusal

TABLE = Path(__file__).resolve().parent.parent.parent / "docs" / "errors.md"
ROWS = [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in TABLE.read_text().splitlines()]
DOCUMENTED = [row for row in ROWS if len(row) == 4 and re.fullmatch(r"\d{3}", row[1])]


def as_row(error: ApiError) -> tuple[str, str, str]:
    return str(error.status), error.type, error.code or ""


def test_the_refusals_are_documented_in_their_order() -> None:
    refusals = [(verdict, *as_row(refusal(verdict))) for verdict in Verdict if verdict is not Verdict.ALLOWED]
    assert DOCUMENTED[: len(refusals)] == refusals


@pytest.mark.parametrize("name", [name for name, value in vars(errors).items() if isinstance(value, ApiError)])
def test_every_other_error_is_documented(name: str) -> None:
    assert as_row(getattr(errors, name)) in {row[1:] for row in DOCUMENTED}


def test_nothing_is_documented_that_is_not_answered() -> None:
    known = {as_row(value) for value in vars(errors).values() if isinstance(value, ApiError)}
    known |= {as_row(refusal(verdict)) for verdict in Verdict if verdict is not Verdict.ALLOWED}
    assert {row[1:] for row in DOCUMENTED} <= known
