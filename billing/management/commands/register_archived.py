"""`manage.py register_archived [--post]`: archived usage that the books don't know, such as after a restore."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from billing.unregistered import UnregisteredError, register, unregistered


class Command(BaseCommand):
    help = "Name archived files without a row; with --post they are registered and posted. Twice does nothing twice."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--post", action="store_true", help="do it, rather than name them")

    def handle(self, *_args: Any, post: bool, **_options: Any) -> None:
        now, count = timezone.now(), 0
        for path in unregistered(now):
            count += 1
            if not post:
                self.stdout.write(path)
                continue
            try:
                self.stdout.write(f"registered  {register(path, now).identity}")
            except (UnregisteredError, OSError) as error:
                self.stderr.write(str(error))
        self.stdout.write(f"{count:,} archived files had no row." if count else "Every archived file has its row.")
