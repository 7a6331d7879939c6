import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from devstack import bootstrap
from devstack.places import CHECKOUT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a checkout with a finished `.venv`."""
    (tmp_path / "requirements").mkdir()
    for name in bootstrap.REQUIREMENTS:
        (tmp_path / name).write_text(name)
    python = bootstrap.python_of(tmp_path)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (tmp_path / ".venv" / bootstrap.STAMP).write_text(bootstrap.fingerprint(tmp_path))
    return tmp_path


def install(folder: Path, origin: dict[str, object] | None = None) -> None:
    """Put the metadata of an installed Keymeter into a folder of sys.path."""
    metadata = folder / "keymeter-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.4\nName: keymeter\nVersion: 0.1.0\n")
    if origin:
        (metadata / "direct_url.json").write_text(json.dumps(origin))


def test_a_finished_environment_is_current(checkout: Path) -> None:
    assert bootstrap.is_current(checkout)


@pytest.mark.parametrize("name", bootstrap.REQUIREMENTS)
def test_changed_requirements_make_it_stale(checkout: Path, name: str) -> None:
    (checkout / name).write_text("changed")
    assert not bootstrap.is_current(checkout)


def test_an_interrupted_set_up_is_done_again(checkout: Path) -> None:
    (checkout / ".venv" / bootstrap.STAMP).unlink()
    assert not bootstrap.is_current(checkout)


def test_a_vanished_python_makes_it_stale(checkout: Path) -> None:
    bootstrap.python_of(checkout).unlink()
    assert not bootstrap.is_current(checkout)


def test_a_moved_checkout_is_set_up_anew(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    moved = tmp_path_factory.mktemp("moved") / "checkout"
    checkout.rename(moved)
    assert not bootstrap.is_current(moved)


def test_an_installed_keymeter_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    assert bootstrap.installed_elsewhere(tmp_path / "checkout")


def test_another_checkout_is_not_an_installed_keymeter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", {"url": (tmp_path / "other").as_uri(), "dir_info": {"editable": True}})
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    assert not bootstrap.installed_elsewhere(tmp_path / "checkout")
    assert bootstrap.installed_elsewhere(tmp_path / "other")


def test_a_bare_python_has_no_keymeter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert not bootstrap.installed_elsewhere(tmp_path / "checkout")


def test_the_index_of_pip_is_used_by_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "pip_settings", lambda: {"index-url": "https://mirror.example/simple"})
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    environment = bootstrap.uv_environment(tmp_path)
    assert environment["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert environment["UV_PYTHON_DOWNLOADS"] == "never"


def test_the_folder_platform_hides_nothing() -> None:
    code = (
        "import sys; sys.path.insert(0, '.'); sys.path.insert(1, 'platform'); import platform; print(platform.__file__)"
    )
    printed = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == platform.__file__
    assert not (CHECKOUT / "platform" / "__init__.py").exists()


@pytest.mark.extended
def test_a_fresh_clone_sets_itself_up(tmp_path: Path) -> None:
    clone = tmp_path / "a folder with spaces"
    subprocess.run(["git", "clone", "-q", str(CHECKOUT), str(clone)], check=True)
    base = Path(sys.base_prefix) / "bin" / "python3"
    printed = subprocess.run([base, "manage.py", "version"], cwd=clone, capture_output=True, text=True, check=True)
    assert printed.stdout.strip().startswith("5.2")
    assert "set up" in printed.stderr
    again = subprocess.run([base, "manage.py", "version"], cwd=clone, capture_output=True, text=True, check=True)
    assert again.stderr == ""
