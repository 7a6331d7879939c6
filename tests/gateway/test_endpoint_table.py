"""docs/endpoints.md has every endpoint, and no other."""

from pathlib import Path

from gateway.asking.description import described
from gateway.asking.endpoints import FORWARDED, SCOPES, STORED

TABLE = Path(__file__).resolve().parent.parent.parent / "docs" / "endpoints.md"
ROWS = [
    [cell.strip(" `") for cell in line.split("|")[1:-1]]
    for line in TABLE.read_text().splitlines()
    if line.startswith("| `")
]


def test_the_table_has_the_rows_of_the_code() -> None:
    told = [(one, described(one.name)) for one in FORWARDED.values()]
    expected = [
        [one.name, one.path, one.scope, one.family, it.counted.strip("`"), it.held.strip("`")] for one, it in told
    ]
    assert [row for row in ROWS if len(row) == 6] == expected


def test_what_is_done_with_stored_things_is_documented() -> None:
    assert [row[:2] for row in ROWS if len(row) == 3] == [[f"{row.method} {row.path}", row.of.scope] for row in STORED]


def test_every_endpoint_has_a_scope_that_keys_can_have() -> None:
    assert {endpoint.scope for endpoint in FORWARDED.values()} | {"models"} == set(SCOPES)
