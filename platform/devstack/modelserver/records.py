"""What the demo server received, for tests that look at the upstream's side."""

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

LONGEST_BODY = 64 * 1024


@dataclass
class Record:
    """One request. `outcome` is `running`, `completed`, `disconnected` (the client went away) or `cut` (we did)."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    outcome: str = "running"
    status: int | None = None
    chunks: int = 0


@dataclass
class Records:
    """The last thousand requests, oldest first."""

    kept: "deque[Record]" = field(default_factory=lambda: deque(maxlen=1000))

    def add(self, method: str, path: str, headers: dict[str, str], body: Any, size: int) -> Record:
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        if isinstance(body, dict):
            body = {name: f"({len(one)} bytes)" if isinstance(one, bytes) else one for name, one in body.items()}
        record = Record(method, path, headers, body if size <= LONGEST_BODY else f"({size} bytes)")
        self.kept.append(record)
        return record

    def listing(self) -> list[dict[str, Any]]:
        return [asdict(record) for record in self.kept]
