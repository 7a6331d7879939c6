"""Make `.venv` from the hash-pinned requirements, then run in it. Standard library only: nothing is installed yet.

pip puts uv into `.tools/`, uv puts everything else into `.venv/`. The stamp is written last, so an interrupted
set-up is done again; a lock makes a second call wait for the first.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

REQUIREMENTS = ("requirements/uv.txt", "requirements/dev.txt", "pyproject.toml")
STAMP = "keymeter-stamp"

Say = Callable[[str], None]


def ensure_environment(root: str) -> None:
    """Return if Keymeter can be imported here; else set up `.venv` if needed and continue in it (no return)."""
    checkout = Path(root)
    inside = Path(sys.prefix) == checkout / ".venv"
    if not inside and installed_elsewhere(checkout):
        return
    if not is_current(checkout):
        set_up(checkout)
    elif inside:
        return
    continue_in(checkout)


def installed_elsewhere(checkout: Path) -> bool:
    """Whether the running interpreter has Keymeter (and not merely another checkout of it)."""
    from importlib import metadata

    path = [entry for entry in sys.path if entry and Path(entry) != checkout]
    for distribution in metadata.distributions(name="keymeter", path=path):
        origin = distribution.read_text("direct_url.json") or ""
        if '"editable": true' not in origin.replace('":t', '": t') or checkout.as_uri() + '"' in origin:
            return True
    return False


def is_current(checkout: Path) -> bool:
    try:
        stamp = (checkout / ".venv" / STAMP).read_text()
    except OSError:
        return False
    return stamp == fingerprint(checkout) and os.access(python_of(checkout), os.X_OK)


def fingerprint(checkout: Path) -> str:
    """Changes when the environment must be made anew: requirements, Python's version, the checkout's place."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {checkout}".encode())
    for name in REQUIREMENTS:
        digest.update((checkout / name).read_bytes())
    return digest.hexdigest()


def python_of(checkout: Path) -> Path:
    return checkout / ".venv" / "bin" / "python"


def continue_in(checkout: Path) -> NoReturn:
    python = str(python_of(checkout))
    sys.stdout.flush()
    try:
        os.execv(python, [python, str(checkout / "manage.py"), *sys.argv[1:]])
    except OSError as error:
        fail(f"{python} doesn't start: {error}", f"Remove {checkout / '.venv'} and try again.")


def set_up(checkout: Path) -> None:
    if not os.access(checkout, os.W_OK):
        fail(
            f"Keymeter has to be set up, but {checkout} can't be written by this user.",
            "Run it as the user who owns the folder, or clone it into a folder of your own.",
        )
    start = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - start:5.1f} s] {text}", file=sys.stderr, flush=True)

    with only_one(checkout, say):
        if is_current(checkout):
            return
        say("setting Keymeter up: only the first time, and when its requirements change")
        uv = installer(checkout, say)
        environment = uv_environment(checkout)
        if not venv_fits(checkout):
            say(f"making .venv with Python {sys.version.split()[0]}")
            call(uv, ["venv", "--clear", "--python", sys.executable, str(checkout / ".venv")], environment)
        python = ["--python", str(python_of(checkout))]
        (checkout / ".venv" / STAMP).unlink(missing_ok=True)
        say("installing the packages of requirements/dev.txt, each checked against its hash")
        call(
            uv,
            ["pip", "sync", "--require-hashes", *python, str(checkout / "requirements/dev.txt")],
            environment,
        )
        editable = ["--no-deps", "--no-build-isolation", "--editable", str(checkout)]
        call(uv, ["pip", "install", *python, *editable], environment)
        unfinished = checkout / ".venv" / (STAMP + ".new")
        unfinished.write_text(fingerprint(checkout))
        unfinished.replace(checkout / ".venv" / STAMP)
        say("set up")


@contextmanager
def only_one(checkout: Path, say: Say) -> Iterator[None]:
    tools = checkout / ".tools"
    try:
        tools.mkdir(exist_ok=True)
        lock = (tools / "lock").open("w")
    except PermissionError as error:
        fail(f"{error.filename} belongs to another user.", "Run it as that user, or use a clone of your own.")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def venv_fits(checkout: Path) -> bool:
    """Whether `.venv` runs and is of this Python's version, so that only packages have to change."""
    code = "import sys; print(sys.version_info[:2], sys.prefix)"
    try:
        answer = subprocess.run([python_of(checkout), "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.stdout.strip() == f"{sys.version_info[:2]} {checkout / '.venv'}"


def installer(checkout: Path, say: Say) -> str:
    """The path of uv, from `.tools/`, where pip puts it with the hashes of requirements/uv.txt."""
    pins = checkout / "requirements" / "uv.txt"
    place = checkout / ".tools" / ("uv-" + hashlib.sha256(pins.read_bytes()).hexdigest()[:12])
    uv = place / "bin" / "uv"
    if os.access(uv, os.X_OK):
        return str(uv)
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        if found := shutil.which("uv"):
            say(f"this Python has no pip; using {found}")
            return found
        fail(
            f"{sys.executable} has no pip, which is needed once to install the rest.",
            "Install it, for example with: apt-get install python3-pip",
        )
    say("installing uv, the package installer, into .tools/")
    unfinished = place.with_name(place.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    options = [
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    ]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(unfinished), "-r", str(pins)]
    environment = os.environ | {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}  # either would refuse --target
    done = subprocess.run(command, check=False, env=environment, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        unreachable(done.stderr)
    shutil.rmtree(place, ignore_errors=True)
    unfinished.rename(place)
    return str(uv)


def uv_environment(checkout: Path) -> dict[str, str]:
    """This process's environment, with pip's own index settings handed on to uv, which doesn't read them."""
    environment = dict(os.environ)
    wanted = {
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "UV_NO_CONFIG": "1",
        "UV_COMPILE_BYTECODE": "1",  # a service's start then needs no compiling, also where .venv is read-only
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # as pip does; the hashes decide what is acceptable
    }
    if not os.access(os.path.expanduser("~"), os.W_OK):
        wanted["UV_CACHE_DIR"] = str(checkout / ".tools" / "cache")
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "cert": "SSL_CERT_FILE"}
    for option, value in pip_settings().items():
        if option == "extra-index-url":
            value = " ".join(url for url in value.split() if not url.startswith("file:"))
        if option in names and value:
            wanted[names[option]] = value
    for name, value in wanted.items():
        environment.setdefault(name, value)
    return environment


def pip_settings() -> dict[str, str]:
    """What `pip config list` says, the environment's last, since it wins."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings: dict[str, str] = {}
    for line in sorted(listing.stdout.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = value.strip("'\"").replace("\\n", " ").strip()
    return settings


def call(uv: str, arguments: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run([uv, "--quiet", *arguments], env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        unreachable(done.stderr)


def unreachable(output: str) -> NoReturn:
    hint = "The output above says why."
    signs = (
        "Failed to fetch",
        "No matching distribution",
        "Could not fetch",
        "dns error",
        "error sending request",
    )
    if any(sign in output for sign in signs):
        hint = (
            "The package index can't be reached, or lacks a package. Check the network; for a mirror, set it with\n"
            "`pip config set global.index-url ADDRESS`, or PIP_INDEX_URL: it is used for everything that is installed."
        )
    fail(output.strip() + "\n\nKeymeter could not be set up.", hint)


def fail(problem: str, advice: str) -> NoReturn:
    print(f"{problem}\n{advice}", file=sys.stderr)
    raise SystemExit(1)
