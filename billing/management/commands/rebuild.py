"""`manage.py rebuild [--json]`: all usage computed again from the archive, and compared with the books."""

import json as encoding
import logging
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from billing.proofs.shape import Finding
from billing.rebuilding.comparing import compare
from billing.rebuilding.replaying import how_many, replay
from billing.rebuilding.scratch import scratch_schema
from billing.unregistered import unregistered
from config.progress import Progress


class Command(BaseCommand):
    help = "Compute all usage again from the archived segments, beside the books, and compare; changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *_args: Any, json: bool, **_options: Any) -> None:
        logging.getLogger("billing.posting").setLevel(logging.WARNING)
        progress = Progress("segments", how_many())
        known = _known()
        with scratch_schema() as real:
            found = {"archive": known + replay(real, progress.advance), **compare(real)}
        progress.finish()
        ok = all(not finding.wrong for finding in found.values())
        if json:
            told = [
                {"name": name, "ok": not it.wrong, "checked": it.checked, "offender": it.offender or None}
                for name, it in found.items()
            ]
            self.stdout.write(encoding.dumps({"ok": ok, "compared": told}))
        else:
            for name, finding in found.items():
                self._tell(name, finding)
        if not ok:
            sys.exit(1)

    def _tell(self, name: str, finding: Finding) -> None:
        self.stdout.write(f"{'RED' if finding.wrong else 'ok '}  {name:<14} {finding.checked:>12,} compared")
        if finding.wrong:
            self.stdout.write(f"     {finding.offender}" + f" (and {finding.wrong - 1} more)" * (finding.wrong > 1))


def _known() -> Finding:
    """Whether every archived file has its row: what hasn't is in no book."""
    forgotten = list(unregistered(timezone.now()))
    if not forgotten:
        return Finding()
    told = f"{forgotten[0]} is archived, and the books don't know it: see manage.py register_archived"
    return Finding(len(forgotten), len(forgotten), told)
