"""`manage.py test [pytest's arguments]`: the whole suite on engines of its own, which vanish afterwards."""

import sys
from pathlib import Path

from devstack import chromium, passing, proxies, sideenv
from devstack.places import CHECKOUT
from devstack.terminal import Terminal

IN_ONE_PROCESS = ("-n", "--numprocesses", "--pdb", "--collect-only", "--co", "--fixtures", "-h", "--help")


def run(arguments: list[str]) -> None:
    """Run pytest and exit with its status. Raises StackError."""
    terminal = Terminal()
    programs = {}
    if wants("e2e", arguments) or wants("devstack", arguments):
        programs["KEYMETER_CHROMIUM"] = chromium.get(terminal)
    if wants("deploy", arguments):
        programs |= proxies.get(terminal)
        if "--extended" in arguments:
            programs["KEYMETER_LITELLM"] = str(sideenv.python_of("litellm", terminal))
    command = [sys.executable, "-m", "pytest", *pytest_arguments(arguments)]
    sys.exit(passing.run([command], programs, terminal=terminal, durable=False))


def wants(folder: str, arguments: list[str]) -> bool:
    """Whether tests of that folder may be among those wanted."""
    paths = [argument for argument in arguments if (CHECKOUT / argument.partition("::")[0]).exists()]
    return not paths or any(folder in path or Path(path) == Path("tests") for path in paths)


def pytest_arguments(arguments: list[str]) -> list[str]:
    """Two processes unless the arguments say otherwise."""
    alone = any(argument.startswith(IN_ONE_PROCESS) for argument in arguments) or "no:xdist" in " ".join(arguments)
    return [*([] if alone else ["-n", "2", "--dist", "loadgroup"]), *arguments]
