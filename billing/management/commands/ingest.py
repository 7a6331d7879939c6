"""`manage.py ingest FILE…`: usage from log files. The same file again is the same usage."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.adapters import FORMATS, KEYMETER
from billing.batches import Sender, chunks, longest, receive_chunk
from billing.intake import LONGEST_SOURCE, IntakeError
from billing.lines import LineError, parse
from billing.models import Segment
from billing.unpacking import PORTION, UnpackingError, inflated, records
from config.progress import Progress

GZIP = b"\x1f\x8b"
LOOK_SECONDS = 1
DEFAULT_SOURCE = "file"
# So many lines of a file are asked for its source.
LOOK_AHEAD = 1_000
# Nothing was posted for so long: nobody works.
PATIENCE_SECONDS = 60


class Command(BaseCommand):
    help = "Take usage in from files: JSON lines or arrays, gzip too. docs/usage-intake.md describes the formats."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--format", choices=list(FORMATS), default=KEYMETER, help="of the files' records")
        parser.add_argument("--source", help="the usage's source; else as each file's first readable line says")
        parser.add_argument("--no-wait", action="store_true", help="don't wait until workers have posted it")

    def handle(self, *_args: Any, **options: Any) -> None:
        self._source: str | None = options["source"]
        if self._source is not None and not 0 < len(self._source) <= LONGEST_SOURCE:
            raise CommandError(f"A source's name has up to {LONGEST_SOURCE} characters.")
        self._format = FORMATS[options["format"]]
        segments: list[int] = []
        for path in options["files"]:
            segments += self._take(path)
        if options["no_wait"]:
            self.stdout.write(f"{len(segments)} segments archived; the workers post them.")
        else:
            self._wait(segments)

    def _take(self, path: Path) -> list[int]:
        """Archive a file, in segments. What was archived before an error stays: run again, it is known."""
        segments: list[int] = []
        present = 0
        sender: Sender | None = None
        try:
            progress = Progress(path.name, path.stat().st_size)
            with path.open("rb") as file:
                found = records(_content(file, progress), longest(self._format))
                for chunk in chunks(found):
                    sender = sender or Sender(self._source or _source_of(chunk), Segment.Origin.FILE)
                    segment, new = receive_chunk(chunk, sender, self._format, now=timezone.now())
                    segments.append(segment.pk)
                    present += not new
            progress.finish()
        except OSError as error:
            raise CommandError(f"{path} can't be read: {error.strerror}.") from None
        except (UnpackingError, IntakeError) as error:
            raise CommandError(
                f"{path}: {error} {len(segments)} segments before it are archived. Mend the file and run this again:"
                " what is known is taken once."
            ) from None
        known = f", {present} of them known already" if present else ""
        self.stdout.write(f"{path}: {len(segments)} segments{known}.")
        return segments

    def _wait(self, segments: list[int]) -> None:
        mine = Segment.objects.filter(pk__in=segments)
        waiting, moved_at = len(segments), time.monotonic()
        progress = Progress("posting", waiting)
        while waiting:
            left = mine.unposted().count()
            if left < waiting:
                progress.advance(waiting - left)
                waiting, moved_at = left, time.monotonic()
            elif time.monotonic() - moved_at > PATIENCE_SECONDS:
                raise CommandError(
                    f"{left} segments wait, and nothing was posted for {PATIENCE_SECONDS} s:"
                    " is a worker running? All is archived, and will be posted."
                )
            if waiting:
                time.sleep(LOOK_SECONDS)
        progress.finish()
        counts = {
            name: sum(mine.values_list(name, flat=True)) for name in ("new", "duplicate", "quarantined", "skipped")
        }
        self.stdout.write(", ".join(f"{count} {name}" for name, count in counts.items()) + ".")
        if counts["quarantined"]:
            self.stdout.write("Look at what is quarantined on Staff, Usage, Quarantine.")


def _source_of(raws: list[bytes]) -> str:
    """As which a file's usage is written, if nobody says: as its first readable line does, where it is Keymeter's.

    A file that was cut or rotated may begin with half a line.
    """
    for raw in raws[:LOOK_AHEAD]:
        with suppress(LineError):
            return parse(raw).source
    return DEFAULT_SOURCE


def _content(file: IO[bytes], progress: Progress) -> Iterator[bytes]:
    """Unpacked, whatever the file is called."""
    packed = file.read(len(GZIP)) == GZIP
    file.seek(0)
    return inflated(_portions(file, progress)) if packed else _portions(file, progress)


def _portions(file: IO[bytes], progress: Progress) -> Iterator[bytes]:
    while portion := file.read(PORTION):
        yield portion
        progress.advance(len(portion))
