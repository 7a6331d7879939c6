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
    pins = CHECKOUT / "requirements" / f"{name}.txt"
    digest = hashlib.sha256(f"{sys.version_info[:2]}".encode() + pins.read_bytes()).hexdigest()[:12]
    place = CHECKOUT / ".tools" / f"{name}-{digest}"
    python = place / "bin" / "python"
    done = place / bootstrap.STAMP
    with bootstrap.only_one(CHECKOUT, terminal.step):
        if done.exists():
            return python
        terminal.step(f"installing requirements/{name}.txt into {place.name}")
        shutil.rmtree(place, ignore_errors=True)
        uv, environment = bootstrap.installer(CHECKOUT, terminal.step), bootstrap.uv_environment(CHECKOUT)
        bootstrap.call(uv, ["venv", "--python", sys.executable, str(place)], environment)
        bootstrap.call(uv, ["pip", "sync", "--require-hashes", "--python", str(python), str(pins)], environment)
        done.touch()
    return python
