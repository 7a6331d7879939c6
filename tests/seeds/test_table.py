"""docs/seeds.md names tests that there are, and has a table for every shipped dialect's reference."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from config.dialect import SHIPPED, dialect

ROOT = Path(__file__).resolve().parent.parent.parent
LINES = (ROOT / "docs" / "seeds.md").read_text().splitlines()
SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}


def shown_by() -> Iterator[tuple[str, list[str]]]:
    """What stands between backticks in the second column, and the sources it may be in: its table's, and its cell's."""
    of_table = ""
    for cell in (line.split("|")[2] for line in LINES if line.startswith("|")):
        names = re.findall(r"`([^`]+)`", cell)
        if cell.strip().startswith("shown by"):
            (of_table,) = names
        for name in names:
            yield name, [of_table, *filter(SOURCES.get, names), *_ending(names)]


def _ending(names: list[str]) -> list[str]:
    return [source for source in SOURCES for name in names if name.endswith(".py") and source.endswith(f"/{name}")]


def exists(name: str, sources: list[str]) -> bool:
    if name.endswith(".py"):
        return name in SOURCES or bool(_ending([name]))
    return any(is_defined(name, SOURCES[source]) for source in sources if source in SOURCES)


def is_defined(name: str, source: str) -> bool:
    """`test_it`, `TestThem`, or `TestThem.test_it`."""
    tree: ast.AST = ast.parse(source)
    for part in name.split("."):
        inside = (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.ClassDef))
        found = next((one for one in inside if one.name == part), None)
        if found is None:
            return False
        tree = found
    return True


def test_every_test_that_is_named_is_there() -> None:
    named = [(name, sources) for name, sources in shown_by() if re.match(r"tests/|test_|Test", name)]
    assert len(named) > 40
    assert [name for name, sources in named if not exists(name, sources)] == []


def test_every_shipped_dialect_has_its_reference() -> None:
    heads = {line.removeprefix("## ") for line in LINES if line.startswith("## ")}
    assert {dialect(path.stem).name for path in SHIPPED.glob("*.toml")} - {"OpenAI"} <= heads


def test_every_row_is_shown_open_or_left_out_for_a_reason() -> None:
    rows = [line.split("|")[2].strip() for line in LINES if re.match(r"\| (?!item|-)", line)]
    assert all(
        "`" in cell or "](" in cell or cell == "open" or cell.startswith(("left out: ", "all of")) for cell in rows
    )
