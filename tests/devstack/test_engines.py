import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from devstack import devsecrets
from devstack.engines import Engines, Given
from devstack.places import Places
from devstack.ports import Ports
from devstack.problems import StackError
from devstack.service import Running
from tests.devstack.stack import remove_data
from tests.waiting import wait_until


class Machine:
    """Both engines over one folder, started and stopped at will."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.running: list[Running] = []

    def start(self) -> None:
        ports = Ports()
        self.engines = Engines(self.places, devsecrets.load(self.places), ports, Given())
        self.running = [Running(service) for service in self.engines.services()]
        for one in self.running:
            one.start()
        for one in self.running:
            wait_until(one.is_ready, one.service.name)
        ports.release()
        self.engines.create_database()

    def stop(self) -> None:
        for one in self.running:
            one.ask_to_stop()
        for one in self.running:
            wait_until(one.is_gone, f"{one.service.name} to stop")

    @property
    def postgres(self) -> Running:
        return self.running[0]

    def database(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self.engines.addresses()["DATABASE_URL"], autocommit=True)

    def valkey(self) -> "redis.Redis":
        return redis.Redis.from_url(self.engines.addresses()["VALKEY_URL"])


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(Places.of(str(tmp_path_factory.mktemp("engines") / "var")))
    machine.start()
    yield machine
    machine.stop()
    remove_data(machine.places.var)


def test_postgresql_is_recent_sorts_by_code_point_and_wants_a_password(machine: Machine) -> None:
    with machine.database() as connection:
        row = connection.execute("SELECT current_setting('server_version_num')::int, 'B' < 'a', 'É' ~ '[[:alpha:]]'")
        version, by_code_point, unicode = row.fetchone() or (0, False, False)
    assert int(str(version)) >= 150000
    assert by_code_point
    assert unicode
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(machine.engines.addresses()["DATABASE_URL"], password="wrong")


def test_both_listen_on_loopback_only(machine: Machine) -> None:
    for one in machine.running:
        listening = [c for c in psutil.Process(one.pid).net_connections() if c.status == psutil.CONN_LISTEN]
        assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_valkey_wants_a_password_and_evicts_nothing(machine: Machine) -> None:
    with machine.valkey() as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        password = devsecrets.load(machine.places)["VALKEY_PASSWORD"]
    with redis.Redis(port=machine.engines.valkey.port) as stranger, pytest.raises(redis.AuthenticationError):  # type: ignore[union-attr]
        stranger.ping()
    assert password not in " ".join(psutil.Process(machine.running[1].pid).cmdline())


def test_data_survives_kill_9_on_the_same_addresses(machine: Machine) -> None:
    addresses = machine.engines.addresses()
    with machine.database() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with machine.valkey() as client:
        client.set("kept", 42)
        wait_until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, "the append-only file")
    for one in machine.running:
        one.kill()
    machine.start()
    assert machine.engines.addresses() == addresses
    with machine.database() as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    with machine.valkey() as client:
        assert client.get("kept") == b"42"


def test_a_server_that_still_runs_on_the_data_is_ended_first(machine: Machine) -> None:
    """As after a kill -9 of supervisor and guardian together."""
    orphan = machine.postgres.process
    assert orphan
    machine.running[1].kill()
    machine.start()
    assert orphan.poll() is not None
    with machine.database() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_stale_pid_file_that_names_a_stranger_harms_nobody(machine: Machine) -> None:
    machine.stop()
    assert machine.engines.postgres
    stale = machine.engines.postgres.place.data / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{stale.parent}\n1\n{machine.engines.postgres.port}\n\n127.0.0.1\n1 1\nready\n")
    machine.start()
    with machine.database() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_data_of_another_major_version_is_a_clear_error(machine: Machine) -> None:
    machine.stop()
    assert machine.engines.postgres
    version = machine.engines.postgres.place.data / "PG_VERSION"
    before = version.read_text()
    version.write_text("14\n")
    try:
        with pytest.raises(StackError, match="--fresh"):
            machine.engines.prepare()
    finally:
        version.write_text(before)
    machine.start()


def test_engines_given_from_outside_are_not_started(tmp_path: Path) -> None:
    given = Given("postgresql://a@db/x", "redis://cache:6379/0", "amqp://queue")
    engines = Engines(Places.of(str(tmp_path)), {}, Ports(), given)
    assert engines.services() == []
    assert engines.addresses() == {
        "DATABASE_URL": "postgresql://a@db/x",
        "VALKEY_URL": "redis://cache:6379/0",
        "CELERY_BROKER_URL": "amqp://queue",
    }
