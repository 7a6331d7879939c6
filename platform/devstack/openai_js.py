"""OpenAI's JavaScript SDK for the tests: pinned by requirements/node, installed with npm. Never a skipped test."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from devstack import bootstrap
from devstack.places import CHECKOUT
from devstack.problems import StackError
from devstack.terminal import Terminal

PINS = CHECKOUT / "requirements" / "node"
FILES = ("package.json", "package-lock.json")
SECONDS = 180
ADVICE = """OpenAI's JavaScript SDK couldn't be installed for the tests: {why}
Do one of these and try again:
  apt-get install nodejs npm                 (Debian, Ubuntu; as root: Node 18 or newer)
  npm config set registry ADDRESS            (where npm can't reach the registry that it asks)"""


def get(terminal: Terminal) -> Path:
    """The folder whose `node_modules` has it, checked against its hash; made now if need be. Raises StackError."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise StackError(ADVICE.format(why=f"there is no {program}"))
    digest = hashlib.sha256(b"".join((PINS / name).read_bytes() for name in FILES)).hexdigest()[:12]
    place = CHECKOUT / ".tools" / f"openai-js-{digest}"
    done = place / bootstrap.STAMP
    with bootstrap.only_one(CHECKOUT, terminal.step):
        if not done.exists():
            terminal.step(f"installing requirements/node into {place.name}")
            _install(place)
            done.touch()
    return place


def _install(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name in FILES:
        shutil.copy(PINS / name, place)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(ADVICE.format(why=str(error))) from None
    if done.returncode:
        raise StackError(ADVICE.format(why=done.stderr.strip()[-500:]))
