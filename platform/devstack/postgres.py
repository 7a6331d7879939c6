"""A PostgreSQL of our own on a loopback port, over TCP only, with a password."""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from devstack import pgplace, unprivileged
from devstack.pgplace import PgPlace
from devstack.ports import HOST
from devstack.problems import StackError
from devstack.process import living, spawn, wait_until
from devstack.unprivileged import Owner

USER = DATABASE = "keymeter"
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "jit": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
NO_SYNC = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass
class Postgres:
    """One server. `temporary` gives up safety against power cuts, for tests."""

    var: Path
    port: int
    password: str
    temporary: bool = False

    def __post_init__(self) -> None:
        self.owner: Owner = unprivileged.owner()
        self.place: PgPlace = pgplace.find(self.var, self.owner)

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{quote(self.password, safe='')}@{HOST}:{self.port}/{DATABASE}"

    def prepare(self) -> None:
        """Make the data folder if there is none, and end what a crash left running on it. Raises StackError."""
        version = self.place.data / "PG_VERSION"
        if not version.exists():
            self._initialise()
        elif (found := version.read_text().strip()) != str(self.place.major):
            raise StackError(
                f"{self.place.data} was made by PostgreSQL {found}, and this one is {self.place.major}.\n"
                "Start over with --fresh (the data is removed), or move the data with pg_dump first."
            )
        self._end_leftovers()

    def start(self, log: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        """Start the server; `is_ready` tells when it answers."""
        settings = SETTINGS | {"port": str(self.port)} | (NO_SYNC if self.temporary else {})
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return spawn(
            [str(self.place.programs / "postgres"), "-D", str(self.place.data), *options],
            log=log,
            environment=environment | {"LC_ALL": "C", "TZ": "UTC"},
            cwd=Path("/"),
            user=self.owner.uid,
            group=self.owner.gid,
            end_with_parent=signal.SIGINT,
        )

    def is_ready(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether this very process accepts connections, as its own status line says."""
        with suppress(OSError):
            lines = (self.place.data / "postmaster.pid").read_text().splitlines()
            return len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready"
        return False

    def create_database(self) -> None:
        """Make the database if it isn't there."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def remove(self) -> None:
        """Remove the data, wherever it lies."""
        self._end_leftovers()
        shutil.rmtree(self.place.data, ignore_errors=True)
        if self.place.data.parent != self.var:
            shutil.rmtree(self.place.data.parent, ignore_errors=True)

    def _initialise(self) -> None:
        """Run initdb beside the final place and rename, so that a half-made folder is never taken for data."""
        unfinished = self.place.data.with_name("postgres.new")
        for folder in (unfinished, self.place.data):
            shutil.rmtree(folder, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self.owner.give(unfinished)
        locale = ["--locale=C.UTF-8"]
        if self.place.major >= 17:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        with tempfile.NamedTemporaryFile("w", prefix="keymeter-") as file:
            file.write(self.password)
            file.flush()
            self.owner.give(Path(file.name))
            done = self.owner.run(
                [
                    str(self.place.programs / "initdb"),
                    f"--pgdata={unfinished}",
                    f"--username={USER}",
                    f"--pwfile={file.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    *locale,
                    "--no-instructions",
                    "--no-sync",
                ]
            )
        if done.returncode:
            raise StackError(f"PostgreSQL's data folder could not be made:\n{done.stderr.strip()}")
        unfinished.rename(self.place.data)

    def _end_leftovers(self) -> None:
        """After a kill -9 servers may still run on the data, or an old pid file may name an unrelated process."""
        for number, seconds in ((signal.SIGINT, 10), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            remaining = self._running_on_data()
            if not remaining:
                break
            postmasters = [process for process in remaining if process.ppid() not in {p.pid for p in remaining}]
            for process in postmasters if number == signal.SIGINT else remaining:
                with suppress(psutil.Error):
                    process.send_signal(number)
            wait_until(lambda: not self._running_on_data(), seconds)
        (self.place.data / "postmaster.pid").unlink(missing_ok=True)

    def _running_on_data(self) -> list[psutil.Process]:
        found = []
        for process in living():
            with suppress(psutil.Error, OSError):
                if process.name() == "postgres" and os.path.samefile(process.cwd(), self.place.data):
                    found.append(process)
        return found
