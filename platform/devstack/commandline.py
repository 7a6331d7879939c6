"""What `manage.py` does with its arguments, once Keymeter can be imported."""

import os
import sys
from pathlib import Path

from devstack.problems import StackError

OURS = frozenset(["bench", "dev", "engines", "test"])
ENGINELESS = frozenset(["check", "collectstatic", "diffsettings", "findstatic", "help", "--help", "-h"]) | frozenset(
    ["makemigrations", "sqlmigrate", "startapp", "version", "--version"]
)
"""Django's commands that need neither database nor Valkey."""


def run(root: str, argv: list[str]) -> None:
    """`bench`, `dev`, `engines` and `test` are ours, everything else is Django's."""
    command = argv[1] if len(argv) > 1 else "help"
    try:
        if command in OURS:
            run_ours(command, argv[2:])
            return
        if in_checkout(root):
            use_stack(command)
    except StackError as error:
        sys.exit(f"\n{error}")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(argv)


def run_ours(command: str, arguments: list[str]) -> None:
    try:
        from devstack import benchrun, dev, enginesonly, testrun
    except ModuleNotFoundError as error:
        sys.exit(f"`{command}` needs the packages of requirements/dev.txt, and {error.name} is missing.")
    {"bench": benchrun.run, "dev": dev.run, "engines": enginesonly.run, "test": testrun.run}[command](arguments)


def in_checkout(root: str) -> bool:
    """Whether this is the `.venv` that manage.py made itself, as opposed to an installation."""
    return Path(sys.prefix) == Path(root) / ".venv"


def use_stack(command: str) -> None:
    """Take what is not in the environment from the running stack; without one, say how to start it."""
    from devstack import devsecrets, envfile, lock
    from devstack.places import Places

    given = "DATABASE_URL" in os.environ
    places = Places.of()
    for name, value in envfile.read(places.environment).items():
        os.environ.setdefault(name, value)
    if command in ENGINELESS:
        missing = devsecrets.load(places) | {
            "DATABASE_URL": "postgresql://keymeter@127.0.0.1:1/keymeter",
            "VALKEY_URL": "redis://127.0.0.1:1/0",
            "CONSOLE_URL": "http://localhost:8000",
            "API_URL": "http://localhost:8001/v1",
            "EMAIL_URL": "smtp://127.0.0.1:1",
        }
        for name, value in missing.items():
            os.environ.setdefault(name, value)
        return
    if not given and not lock.is_held(places.lock):
        raise StackError(
            f"Keymeter isn't running, and `{command}` needs its engines. Start it with: python3 manage.py dev"
        )
