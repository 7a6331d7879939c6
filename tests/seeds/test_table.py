"""docs/seeds.md names tests that there are, and has a table for every shipped dialect's reference."""

import re
from pathlib import Path

from config.dialect import SHIPPED, dialect

ROOT = Path(__file__).resolve().parent.parent.parent
LINES = (ROOT / "docs" / "seeds.md").read_text().splitlines()
SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
DEFINED = set(re.findall(r"^ *(?:def|class) (\w+)", "\n".join(SOURCES.values()), re.MULTILINE))


def shown_by() -> list[str]:
    """What stands between backticks in the second column."""
    cells = [line.split("|")[2] for line in LINES if line.startswith("|")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def exists(name: str) -> bool:
    if name.startswith("tests/"):
        return (ROOT / name).exists()
    if name.endswith(".py"):
        return any(source.endswith(f"/{name}") for source in SOURCES)
    return all(part in DEFINED for part in name.split("."))


def test_every_test_that_is_named_is_there() -> None:
    named = [name for name in shown_by() if re.match(r"tests/|test_|Test", name)]
    assert len(named) > 40
    assert [name for name in named if not exists(name)] == []


def test_every_shipped_dialect_has_its_reference() -> None:
    heads = {line.removeprefix("## ") for line in LINES if line.startswith("## ")}
    assert {dialect(path.stem).name for path in SHIPPED.glob("*.toml")} - {"OpenAI"} <= heads


def test_every_row_is_shown_open_or_left_out_for_a_reason() -> None:
    rows = [line.split("|")[2].strip() for line in LINES if re.match(r"\| (?!item|-)", line)]
    assert all(
        "`" in cell or "](" in cell or cell == "open" or cell.startswith(("left out: ", "all of")) for cell in rows
    )
