"""docs/endpoints.md has every endpoint, and no other."""

from pathlib import Path

from gateway.description import described
from gateway.endpoints import FORWARDED, SCOPES

TABLE = Path(__file__).resolve().parent.parent.parent / "docs" / "endpoints.md"


def test_the_table_has_the_rows_of_the_code() -> None:
    rows = [line.strip("| ").split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    documented = [(*(cell.strip("`") for cell in row[:4]), *row[4:]) for row in rows]
    told = [(one, described(one.name)) for one in FORWARDED.values()]
    assert documented == [(one.name, one.path, one.scope, one.family, it.counted, it.held) for one, it in told]


def test_every_endpoint_has_a_scope_that_keys_can_have() -> None:
    assert {endpoint.scope for endpoint in FORWARDED.values()} | {"models"} == set(SCOPES)
