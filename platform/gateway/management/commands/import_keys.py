"""`manage.py import_keys FILE --organization org_…`: keys that customers have already, from another system."""

import hashlib
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError
from django.utils import timezone

from accounts.import_rows import BadFile, BadRow, read_rows
from accounts.importing import Outcome, import_keys
from accounts.models import Organization
from gateway.asking.endpoints import SCOPES

KINDS = {".csv": False, ".jsonl": True, ".ndjson": True}


class Command(BaseCommand):
    help = "Import API keys that another system made. docs/operating.md says what the file has."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="CSV (.csv) or JSON lines (.jsonl, .ndjson)")
        parser.add_argument("--organization", required=True, metavar="org_…", help="whose keys they become")
        parser.add_argument("--dry-run", action="store_true", help="check everything, store nothing")
        parser.add_argument("--skip-bad", action="store_true", help="import the good rows though others are bad")

    def handle(self, *_args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if path.suffix not in KINDS:
            raise CommandError(f"The file's name has to end in one of {', '.join(KINDS)}.")
        organization = Organization.objects.filter(public_id=options["organization"]).first()
        if organization is None:
            raise CommandError("There is no such organization: look its id (org_…) up on Staff → Organizations.")
        now = timezone.now()
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                file.seek(0)
                outcome = import_keys(
                    organization,
                    read_rows(file, json_lines=KINDS[path.suffix], scopes=SCOPES, now=now),
                    say=self._say,
                    origin={"file": path.name, "sha256": digest},
                    skip_bad=options["skip_bad"],
                    dry_run=options["dry_run"],
                    now=now,
                )
        except OSError as error:
            raise CommandError(f"The file can't be read: {error.strerror}.") from None
        except BadFile as error:
            raise CommandError(f"{error} Nothing was stored.") from None
        except IntegrityError:
            raise CommandError("Someone stored one of these keys just now. Nothing was stored: run it again.") from None
        self._summarize(outcome, fine=options["skip_bad"] or not outcome.bad)

    def _say(self, row: BadRow) -> None:
        self.stderr.write(f"line {row.line}: {row.problem}")

    def _summarize(self, outcome: Outcome, *, fine: bool) -> None:
        told = f"{outcome.created} new, {outcome.present} there already, {outcome.bad} bad"
        if outcome.stored:
            self.stdout.write(f"Imported: {told}.")
        elif fine:
            self.stdout.write(f"Dry run, nothing was stored: {told}.")
        else:
            advice = "Correct them, or leave them out with --skip-bad."
            raise CommandError(f"Nothing was stored: {told}. {advice}")
