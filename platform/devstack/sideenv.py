"""An environment beside `.venv`, for a program whose pinned packages collide with ours."""

import hashlib
import shutil
import sys
from pathlib import Path

from devstack import bootstrap
from devstack.places import CHECKOUT
from devstack.terminal import Terminal


def python_of(name: str, terminal: Terminal) -> Path:
    """The Python that has `requirements/<name>.txt`, each package checked against its hash; made now if need be."""
    place = _place(name)
    python = place / "bin" / "python"
    done = place / bootstrap.STAMP
    with bootstrap.only_one(CHECKOUT, terminal.step):
        if done.exists():
            return python
        terminal.step(f"installing requirements/{name}.txt into {place.name}")
        shutil.rmtree(place, ignore_errors=True)
        uv, environment = bootstrap.installer(CHECKOUT, terminal.step), bootstrap.uv_environment(CHECKOUT)
        bootstrap.call(uv, ["venv", "--python", sys.executable, str(place)], environment)
        bootstrap.call(uv, ["pip", "sync", "--require-hashes", "--python", str(python), str(_pins(name))], environment)
        done.touch()
    return python


def installed(name: str) -> Path | None:
    """That Python, if somebody has made it before."""
    place = _place(name)
    return place / "bin" / "python" if (place / bootstrap.STAMP).exists() else None


def _place(name: str) -> Path:
    digest = hashlib.sha256(f"{sys.version_info[:2]}".encode() + _pins(name).read_bytes()).hexdigest()[:12]
    return CHECKOUT / ".tools" / f"{name}-{digest}"


def _pins(name: str) -> Path:
    return CHECKOUT / "requirements" / f"{name}.txt"
