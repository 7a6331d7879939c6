"""Whose PostgreSQL is it? It refuses to run as root, so root hands it to another user of the machine."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devstack.problems import StackError


@dataclass(frozen=True)
class Owner:
    """The user that runs PostgreSQL; `uid` and `gid` are None if that is the current one."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def can(self, test: str, path: Path) -> bool:
        """`test -x`, `test -r` … as that user."""
        return self.run(["test", test, str(path)]).returncode == 0

    def run(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """Run a command as that user, from the root folder, and return what it said."""
        return subprocess.run(
            command,
            check=False,
            start_new_session=True,  # Ctrl-C is for the supervisor, which stops when this has ended
            cwd="/",
            capture_output=True,
            text=True,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )

    def give(self, path: Path) -> None:
        """Make that user the owner of a file or folder."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def owner() -> Owner:
    """The current user, or for root `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return Owner(name=str(os.geteuid()))
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Owner(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise StackError(
        "PostgreSQL refuses to run as root, and this machine has neither a user `postgres` nor `nobody`.\n"
        "Run Keymeter as an ordinary user."
    )
