"""`manage.py bench …`: measurements on engines of their own, which sync to the disk as in production."""

import sys

from devstack import passing
from devstack.terminal import Terminal


def run(arguments: list[str]) -> None:
    """Measure and exit with the status. Raises StackError."""
    django = [sys.executable, "-m", "django"]
    commands = [[*django, "migrate", "-v0"], [*django, "bench", *arguments]]
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings", "LOG_FORMAT": "json"}
    sys.exit(passing.run(commands, settings, terminal=Terminal(), durable=True))
