"""`manage.py engines`: only PostgreSQL and Valkey, for single tests and commands."""

import argparse

from devstack import devsecrets, envfile, lock
from devstack.engines import Engines, Given
from devstack.environment import Addresses, environment
from devstack.guardian import Guardian
from devstack.places import Places
from devstack.ports import Ports
from devstack.supervisor import StopRequested, Supervisor
from devstack.terminal import Terminal


def run(arguments: list[str]) -> None:
    """Run both engines until Ctrl-C, and tell other commands where they are in `var/dev.env`."""
    parser = argparse.ArgumentParser(prog="manage.py engines", description=__doc__)
    parser.add_argument("--var", help="folder of the data (default: var/ of the checkout)")
    places = Places.of(parser.parse_args(arguments).var)
    terminal = Terminal()
    with lock.take(places.lock) as held:
        secrets = devsecrets.load(places)
        engines = Engines(places, secrets, Ports(), Given.by_environment())
        supervisor = Supervisor(places, terminal, Guardian(places, held.fileno()))
        supervisor.listen()
        try:
            supervisor.end_strays()
            supervisor.guardian.start()
            supervisor.wait_for(supervisor.launch(engines.services()))
            engines.create_database()
            envfile.write(places.environment, environment(places, secrets, engines, Addresses()))
            for name, address in engines.addresses().items():
                terminal.line(f"{name} at {address.rpartition('@')[2]}")
            terminal.step(f"ready; commands find them through {places.environment}. Ctrl-C stops.")
            supervisor.run()
        except StopRequested:
            terminal.line()
        finally:
            supervisor.stop()
