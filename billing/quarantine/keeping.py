"""The lines of a segment that can't be charged, kept while it is posted."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from billing.models import QuarantineReason, Segment
from billing.rated import Quarantined

# Of a segment, one by one. Those that a person may correct have the room; beyond them it is no usage log.
MOST_UNREADABLE = 1_000
# Records of other formats that may be read later: they can all be replayed.
READ_AGAIN = b'{"unread":'

COPY = "COPY billing_quarantinedline (segment_id, line, reason, detail, raw, note, lines) FROM STDIN"


@dataclass
class Keeper:
    """Keeps bad lines and counts them. Of those that nobody can read, beyond the first ones, one row tells how many."""

    segment: Segment
    count: int = 0
    _unreadable: int = 0
    _beyond: int = 0
    _first_beyond: Quarantined | None = None

    def keep(self, lines: Iterable[Quarantined]) -> None:
        kept = []
        for line in lines:
            self.count += 1
            if line.reason == QuarantineReason.MALFORMED and not line.raw.startswith(READ_AGAIN):
                self._unreadable += 1
                if self._unreadable > MOST_UNREADABLE:
                    self._first_beyond = self._first_beyond or line
                    self._beyond += 1
                    continue
            kept.append((line, 1))
        self._write(kept)

    def finish(self) -> None:
        """Keep one row for all those beyond."""
        if (first := self._first_beyond) is not None:
            detail = f"{self._beyond} lines more that can't be read, this one and behind it: see {self.segment.path}"
            self._write([(first._replace(detail=detail), self._beyond)])

    def _write(self, rows: list[tuple[Quarantined, int]]) -> None:
        if not rows:
            return
        with connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for line, stands_for in rows:
                detail = line.detail[:300].replace("\0", "�")
                copy.write_row((self.segment.pk, line.line, line.reason.value, detail, line.raw, "", stands_for))
