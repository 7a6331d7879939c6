"""Charges that only this machine knows of: lines written and not yet archived."""

from pathlib import Path

from billing.archived import settled_holds
from gateway.logs.usage_log import UsageLog
from hotstate.holds import Hold


def unshipped_holds(usage_log: UsageLog, abandoned: list[Path]) -> list[Hold]:
    """As settled holds. May be called in a thread while lines are written and segments shipped.

    A segment that vanishes meanwhile is archived by then, and posted before decisions go on.
    """
    found = list(settled_holds(usage_log.unwritten.splitlines()))
    for folder in (usage_log.folder, *abandoned):
        read: set[str] = set()
        while paths := [path for path in folder.glob("*.jsonl") if _identity(path) not in read]:
            for path in paths:
                try:
                    content = path.read_bytes()
                except FileNotFoundError:
                    # Renamed, because it was closed, or shipped: the next look tells.
                    continue
                read.add(_identity(path))
                found += settled_holds(content.splitlines())
    return found


def _identity(path: Path) -> str:
    """The same before and after it is closed."""
    return path.name.partition(".")[2]
