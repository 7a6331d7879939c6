"""The JavaScript SDK that tests need: what is said where it can't be had."""

import stat
from pathlib import Path

import pytest

from devstack import openai_js
from devstack.problems import StackError
from devstack.terminal import Terminal


def test_without_node_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match=r"there is no node[\s\S]*apt-get install nodejs npm"):
        openai_js.get(Terminal())


def test_where_npm_fails_its_words_are_told_and_nothing_counts_as_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("node", "npm"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'npm error code EINTEGRITY' >&2\nexit 1\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin", prepend=None)
    monkeypatch.setattr(openai_js, "CHECKOUT", tmp_path)
    for _ in range(2):
        with pytest.raises(StackError, match="EINTEGRITY"):
            openai_js.get(Terminal())


def test_what_is_installed_is_pinned_by_its_hash_and_names_no_registry() -> None:
    pins = (openai_js.PINS / "package-lock.json").read_text()
    assert '"integrity": "sha512-' in pins
    assert "resolved" not in pins
    assert "://" not in pins
