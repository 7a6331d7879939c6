"""Files of KEY=VALUE lines that only their owner can read."""

import os
from pathlib import Path


def read(path: Path) -> dict[str, str]:
    """The file's settings; none if it does not exist."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def write(path: Path, settings: dict[str, str]) -> None:
    """Replace the file at once, so that nobody sees half of it. A value may not contain a line break."""
    write_private(path, "".join(f"{name}={value}\n" for name, value in settings.items()))


def write_private(path: Path, text: str) -> None:
    """Replace a file, readable by its owner only (0600), at once."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
