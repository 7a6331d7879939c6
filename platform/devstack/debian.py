"""Programs from Debian's packages: installed for root, or only unpacked, which leaves the machine as it is."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from devstack.places import CHECKOUT

PLACE = CHECKOUT / ".tools" / "debian"
"""Where packages are unpacked, each into a folder of its name."""


def install(package: str) -> None:
    """Install a package with what it needs, where this user may. Look for the program afterwards."""
    if refresh():
        attempt(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package])


def unpack(package: str) -> Path:
    """The folder into which the package is unpacked; empty where it can't be had. Nothing is installed or started."""
    place = PLACE / package
    if place.is_dir():
        return place
    unfinished = place.with_name(f"{package}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        download = ["apt-get", "download", "-qq", package]
        attempt(download, unfinished)
        # The lists of packages may be missing, or be older than the archive.
        if not list(unfinished.glob("*.deb")) and refresh():
            attempt(download, unfinished)
        for archive in unfinished.glob("*.deb"):
            if attempt(["dpkg-deb", "-x", str(archive), str(unfinished / "files")]):
                with suppress(OSError):  # another run was quicker
                    (unfinished / "files").rename(place)
    shutil.rmtree(unfinished, ignore_errors=True)
    return place


def refresh() -> bool:
    """Whether packages can be installed by this user, after asking what there is."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    attempt(["apt-get", "update", "-qq"])
    return True


def starts(command: list[str]) -> bool:
    """Whether the program runs here; a library may be missing."""
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def attempt(command: list[str], folder: Path | None = None) -> bool:
    """Run it, quietly: whether it helped is seen by what is there afterwards."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=600, check=False, env=environment, cwd=folder)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
