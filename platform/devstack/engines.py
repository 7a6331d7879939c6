"""PostgreSQL and Valkey of one stack: ours, unless DATABASE_URL or VALKEY_URL name others."""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from devstack import envfile
from devstack.places import Places
from devstack.ports import Ports
from devstack.postgres import Postgres
from devstack.process import MARK
from devstack.service import Process, Service
from devstack.valkey import Valkey

STAGE = 9


@dataclass(frozen=True)
class Given:
    """Addresses of engines that somebody else runs; an empty one means that we run ours."""

    database_url: str = ""
    valkey_url: str = ""
    broker_url: str = ""

    @classmethod
    def by_environment(cls, prefix: str = "") -> "Given":
        """From DATABASE_URL, VALKEY_URL and CELERY_BROKER_URL, each after the prefix."""
        names = ("DATABASE_URL", "VALKEY_URL", "CELERY_BROKER_URL")
        return cls(*(os.environ.get(prefix + name, "") for name in names))


class Engines:
    """The two engines. Their ports are kept in `var/engines.env`, so that addresses stay the same."""

    def __init__(
        self, places: Places, secrets: Mapping[str, str], ports: Ports, given: Given, *, temporary: bool = False
    ) -> None:
        self._places = places
        self._given = given
        kept = envfile.read(places.var / "engines.env")
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        if not given.database_url:
            port = ports.any(int(kept.get("POSTGRES_PORT", 0)))
            self.postgres = Postgres(places.var, port, secrets["POSTGRES_PASSWORD"], temporary=temporary)
            kept["POSTGRES_PORT"] = str(port)
        if not given.valkey_url:
            port = ports.any(int(kept.get("VALKEY_PORT", 0)))
            self.valkey = Valkey(places.valkey, port, secrets["VALKEY_PASSWORD"], temporary=temporary)
            kept["VALKEY_PORT"] = str(port)
        envfile.write(places.var / "engines.env", kept)

    def addresses(self) -> dict[str, str]:
        """DATABASE_URL, VALKEY_URL and CELERY_BROKER_URL."""
        database = self.postgres.url if self.postgres else self._given.database_url
        valkey = self.valkey.url() if self.valkey else self._given.valkey_url
        broker = self._given.broker_url or (self.valkey.url(1) if self.valkey else valkey)
        return {"DATABASE_URL": database, "VALKEY_URL": valkey, "CELERY_BROKER_URL": broker}

    def prepare(self) -> None:
        """Make data folders, and end what a crash left behind."""
        if self.postgres:
            self.postgres.prepare()

    def services(self) -> list[Service]:
        """Those that we run ourselves."""
        environment = dict(os.environ) | {MARK: str(self._places.var)}
        services = []
        if postgres := self.postgres:
            log = self._places.log / "postgres.log"

            def start_postgres() -> Process:
                postgres.prepare()
                return postgres.start(log, environment)

            services.append(
                Service("postgres", start_postgres, postgres.is_ready, STAGE, signal.SIGINT, 20, leader_only=True)
            )
        if valkey := self.valkey:
            log_of_valkey = self._places.log / "valkey.log"
            services.append(Service("valkey", lambda: valkey.start(log_of_valkey, environment), valkey.is_ready, STAGE))
        return services

    def create_database(self) -> None:
        """Make the database if it is ours and missing."""
        if self.postgres:
            self.postgres.create_database()

    def remove(self) -> None:
        """Remove all data of our engines."""
        if self.postgres:
            self.postgres.remove()
        if self.valkey:
            self.valkey.remove()
