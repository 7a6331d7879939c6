"""`manage.py test [pytest's arguments]`: the whole suite on engines of its own, which vanish afterwards."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from devstack import chromium, devsecrets, envfile, lock
from devstack.engines import Engines, Given
from devstack.environment import Addresses, environment, without_stack
from devstack.guardian import Guardian
from devstack.places import CHECKOUT, Places
from devstack.ports import Ports
from devstack.process import ending_with_parent
from devstack.supervisor import StopRequested, Supervisor
from devstack.terminal import Terminal

IN_ONE_PROCESS = ("-n", "--numprocesses", "--pdb", "--collect-only", "--co", "--fixtures", "-h", "--help")


def run(arguments: list[str]) -> None:
    """Start temporary engines, run pytest, and exit with its status. Raises StackError."""
    terminal = Terminal()
    browser = chromium.get(terminal) if needs_browser(arguments) else os.environ.get("KEYMETER_CHROMIUM", "")
    places = temporary_places()
    status = 1
    with lock.take(places.lock) as held:
        secrets = devsecrets.load(places)
        engines = Engines(places, secrets, Ports(), Given.by_environment("TEST_"), temporary=True)
        supervisor = Supervisor(places, terminal, Guardian(places, held.fileno()))
        supervisor.listen()
        try:
            supervisor.guardian.start()
            supervisor.wait_for(supervisor.launch(engines.services()))
            engines.create_database()
            settings = environment(places, secrets, engines, Addresses())
            settings |= {"KEYMETER_CHROMIUM": browser, "KEYMETER_VAR": str(places.var)}
            status = run_pytest(supervisor, arguments, without_stack(os.environ) | settings)
        except StopRequested:
            status = 130
        finally:
            supervisor.stop()
            engines.remove()
    shutil.rmtree(places.var, ignore_errors=True)
    sys.exit(status)


def needs_browser(arguments: list[str]) -> bool:
    """Whether tests in a browser may be among those wanted."""
    paths = [argument for argument in arguments if (CHECKOUT / argument.partition("::")[0]).exists()]
    return not paths or any("e2e" in path or Path(path) == Path("tests") for path in paths)


def pytest_arguments(arguments: list[str]) -> list[str]:
    """Two processes unless the arguments say otherwise."""
    alone = any(argument.startswith(IN_ONE_PROCESS) for argument in arguments) or "no:xdist" in " ".join(arguments)
    return [*([] if alone else ["-n", "2", "--dist", "loadgroup"]), *arguments]


def run_pytest(supervisor: Supervisor, arguments: list[str], variables: dict[str, str]) -> int:
    """Run pytest in the foreground, so that Ctrl-C and the debugger reach it, and return its status."""
    command = [sys.executable, "-m", "pytest", *pytest_arguments(arguments)]
    pytest = subprocess.Popen(command, cwd=CHECKOUT, env=variables, preexec_fn=ending_with_parent())
    try:
        while pytest.poll() is None:
            supervisor.pause()
    except StopRequested:
        if signal.SIGINT not in supervisor.signals:  # Ctrl-C reached it already
            pytest.send_signal(signal.SIGINT)
        try:
            pytest.wait(20)
        except subprocess.TimeoutExpired:
            pytest.kill()
        raise
    return pytest.returncode


def temporary_places() -> Places:
    """A folder for this run; what killed runs left behind is removed."""
    home = CHECKOUT / "var" / "test-engines"
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    (CHECKOUT / "var").chmod(0o711)
    for left in home.iterdir():
        if not lock.is_held(left / "dev.lock"):
            remove_left_over(Places(left))
    return Places.of(str(home / str(os.getpid())))


def remove_left_over(places: Places) -> None:
    secrets = envfile.read(places.secrets)
    if secrets:
        Engines(places, secrets, Ports(), Given(), temporary=True).remove()
    shutil.rmtree(places.var, ignore_errors=True)
