"""docs/peer-bugs.md names tests that are there: a row without its test promises what nobody checks."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = [line for line in (ROOT / "docs/peer-bugs.md").read_text().splitlines() if re.match(r"\| (?!bug )\w", line)]


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip() for row in ROWS])
def test_a_bugs_tests_are_there(row: str) -> None:
    """A test is `path::Class::name`; `…` stands for what was named before it, or for the rest of a name."""
    named = re.findall(r"`((?:tests/|…::|test_)[^`]+)`", row.split("|")[3])
    assert named, "no test is named"
    file = ROOT
    for test in named:
        path, *names = test.split("::") if not test.startswith("test_") else ("…", test)
        file = ROOT / path if path.startswith("tests/") else file
        source = file.read_text()
        for name in names:
            if name != "…":
                assert re.search(rf"(def|class) {name.replace('…', '')}{'' if '…' in name else '[(:]'}", source), test
