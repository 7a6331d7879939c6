"""`manage.py bench decision|clients|gateway|ingest|pages [--quick|--extended] [--json]`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devstack.bench import clients, decision, gateway, ingest, pages

BENCHES = {
    "decision": decision.run,
    "clients": clients.run,
    "gateway": gateway.run,
    "ingest": ingest.run,
    "pages": pages.run,
}
EXTENDED = {"decision": decision.run, "ingest": ingest.run}


class Command(BaseCommand):
    """Empties its database: `manage.py bench` gives it one of its own."""

    help = "Measure, beside limits and peers in the same run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", choices=BENCHES)
        parser.add_argument("--quick", action="store_true", help="under a minute, less exact")
        parser.add_argument("--extended", action="store_true", help="also what takes long: a million keys or events")
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, name: str, quick: bool, extended: bool, json: bool, **options: Any) -> None:
        if extended:
            if name not in EXTENDED:
                raise CommandError("Only decision and ingest have an extended run.")
            report = EXTENDED[name](quick=quick, extended=True)
        else:
            report = BENCHES[name](quick=quick)
        self.stdout.write(report.as_json() if json else report.as_text())
