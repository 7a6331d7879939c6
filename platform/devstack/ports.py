"""Loopback ports: is one free, and which is the next?

A port is claimed by binding its UDP twin, which nothing here uses, for as long as the supervisor lives. So two stacks
that start at the same moment don't choose the same port before either listens on it.
"""

import socket
from contextlib import closing

from devstack.problems import StackError

HOST = "127.0.0.1"


class Ports:
    """The ports of one stack."""

    def __init__(self) -> None:
        self._claims: list[socket.socket] = []

    def claim(self, port: int, *, what: str, option: str | None = None, auto: bool = False) -> int:
        """Return `port`, or with `auto` the next free one. Raises StackError if it is taken."""
        if self._try(port):
            return port
        if auto:
            return self.next_after(port)
        change = f" or choose another one with {option} NUMBER" if option else ""
        raise StackError(
            f"Port {port} for the {what} is taken by another program.\n"
            f"Let Keymeter take the next free ones with --auto-port{change}."
        )

    def next_after(self, port: int) -> int:
        """The first free port above `port`."""
        for candidate in range(port + 1, min(port + 2000, 65536)):
            if self._try(candidate):
                return candidate
        raise StackError(f"There is no free port from {port} on.")

    def any(self, preferred: int | None = None) -> int:
        """The preferred port if it is free, else any free one."""
        if preferred and self._try(preferred):
            return preferred
        while True:
            with closing(socket.create_server((HOST, 0))) as probe:
                port: int = probe.getsockname()[1]
            if self._try(port):
                return port

    def release(self) -> None:
        """Give up all claims."""
        for claim in self._claims:
            claim.close()
        self._claims.clear()

    def _try(self, port: int) -> bool:
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind((HOST, port))
            socket.create_server((HOST, port)).close()
        except OSError:
            claim.close()
            return False
        if answers("::1", port):  # browsers try `localhost` there first
            claim.close()
            return False
        self._claims.append(claim)
        return True


def answers(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True
