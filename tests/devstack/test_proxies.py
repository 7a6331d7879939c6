"""nginx and Caddy for the tests: found, fetched, or an error that says what to do."""

import os
from pathlib import Path

import pytest

from devstack import debian, proxies
from devstack.problems import StackError
from devstack.terminal import Terminal


def make_program(path: Path, status: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(proxies, "PLACES", ())
    monkeypatch.setattr(debian, "PLACE", tmp_path / "debian")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("KEYMETER_NGINX", raising=False)


def test_the_one_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEYMETER_NGINX", make_program(tmp_path / "elsewhere" / "nginx"))
    assert proxies.path_of("nginx", Terminal()) == os.environ["KEYMETER_NGINX"]


def test_one_that_is_named_and_does_not_start_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEYMETER_NGINX", make_program(tmp_path / "nginx", status=1))
    with pytest.raises(StackError, match="doesn't start"):
        proxies.path_of("nginx", Terminal())


def test_an_installed_one_is_found(tmp_path: Path) -> None:
    installed = make_program(tmp_path / "bin" / "nginx")
    assert proxies.path_of("nginx", Terminal()) == installed


def test_one_that_was_unpacked_is_found(tmp_path: Path) -> None:
    unpacked = make_program(tmp_path / "debian" / "nginx" / "usr" / "sbin" / "nginx")
    assert proxies.path_of("nginx", Terminal()) == unpacked


def test_without_any_and_without_apt_it_is_said_what_to_do() -> None:
    with pytest.raises(StackError, match="apt-get install nginx") as raised:
        proxies.path_of("nginx", Terminal())
    assert "export KEYMETER_NGINX=" in str(raised.value)
