"""`manage.py prove [--day 2026-11-20] [--json]`: whether the books are right."""

import json as encoding
import sys
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from billing.proofs import PROOFS
from billing.proofs.proving import Result, prove
from billing.proofs.runs import lapsed
from config.progress import Progress


class Command(BaseCommand):
    help = "Prove the books; exit code 1 where something is wrong. docs/operating.md says what to do then."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--day", type=date.fromisoformat, help="only what belongs to this UTC day: 2026-11-20")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *_args: Any, day: date | None, json: bool, **_options: Any) -> None:
        progress = Progress("proofs", len(PROOFS))
        results = prove(timezone.now(), day=day, told=lambda _: progress.advance())
        progress.finish()
        ok = all(result.ok for result in results)
        if json:
            self.stdout.write(
                encoding.dumps({"ok": ok, "proofs": [_plain(result) for result in results], "lapsed_holds": lapsed()})
            )
        else:
            for result in results:
                self.stdout.write(f"{'ok ' if result.ok else 'RED'}  {result.name:<14} {result.checked:>12,} checked")
                if result.offender:
                    self.stdout.write(f"     {result.offender}")
            count = lapsed()
            self.stdout.write(f"Holds that lapsed: {'nobody could be asked' if count is None else f'{count:,}'}")
        if not ok:
            sys.exit(1)


def _plain(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "ok": result.ok,
        "checked": result.checked,
        "offender": result.offender or None,
    }
