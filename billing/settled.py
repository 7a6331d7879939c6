"""Ids of requests that were posted, kept small: a segment may have millions."""

from collections.abc import Iterator
from uuid import UUID


class Settled:
    """16 bytes for each id."""

    def __init__(self) -> None:
        self._packed = bytearray()

    def __len__(self) -> int:
        return len(self._packed) // 16

    def add(self, request_id: UUID) -> None:
        self._packed += request_id.bytes

    def portions(self, most: int) -> Iterator[tuple[str, ...]]:
        """All of them as text, at most so many at a time; at least one portion, be it empty."""
        for first in range(0, max(1, len(self)), most):
            packed = self._packed[first * 16 : (first + most) * 16].hex()
            yield tuple(_text(packed[at : at + 32]) for at in range(0, len(packed), 32))


def _text(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
