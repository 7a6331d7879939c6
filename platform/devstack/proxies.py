"""nginx and Caddy for the tests of deploy/gateways: installed ones, or Debian's. Never a skipped test."""

import os
import shutil

from devstack import debian
from devstack.problems import StackError
from devstack.terminal import Terminal

# Debian keeps servers in /usr/sbin, which isn't on everybody's PATH.
PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin")
ASKED = {"nginx": "-v", "caddy": "version"}
ADVICE = """There is no {name} for the tests of deploy/gateways, and Debian's package couldn't be fetched.
Do one of these and try again:
  apt-get update                             (Debian, Ubuntu; as root: then the tests fetch it themselves)
  apt-get install {name}                      (as root; on other systems with their own installer)
  export {variable}=/path/to/{name}"""


def get(terminal: Terminal) -> dict[str, str]:
    """The programs' paths, by the variables that name them. Raises StackError with what to do."""
    return {variable_of(name): path_of(name, terminal) for name in ASKED}


def path_of(name: str, terminal: Terminal) -> str:
    """Where the program is, fetched now if need be."""
    variable = variable_of(name)
    if given := os.environ.get(variable):
        if starts(name, given):
            return given
        raise StackError(f"{variable} names {given}, which doesn't start.")
    if found := find(name):
        return found
    terminal.step(f"no {name} on this machine; fetching Debian's package with apt-get")
    debian.unpack(name)
    if found := find(name):
        return found
    raise StackError(ADVICE.format(name=name, variable=variable))


def variable_of(name: str) -> str:
    return f"KEYMETER_{name.upper()}"


def find(name: str) -> str | None:
    """An installed one, else the one that was unpacked earlier."""
    installed = [shutil.which(name), *(f"{place}/{name}" for place in PLACES)]
    unpacked = [str(debian.PLACE / name / "usr" / folder / name) for folder in ("sbin", "bin")]
    return next((path for path in [*installed, *unpacked] if path and starts(name, path)), None)


def starts(name: str, path: str) -> bool:
    return debian.starts([path, ASKED[name]])
