"""`manage.py nightly [--date 2026-11-20] [--step prove]`: the nights' work, by hand."""

import sys
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.models import NightlyRun, NightlyStep
from billing.nightly import registry, running
from config.progress import Progress

MARKS = {"done": "ok ", "failed": "RED", "waiting": "...", "running": "..."}


class Command(BaseCommand):
    help = "Do what has come due by night; exit code 1 where a step fails. docs/operating.md says what to do then."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--date", type=date.fromisoformat, help="only the night of this UTC date: 2026-11-20")
        parser.add_argument("--step", choices=registry.NAMES, default="", help="only this step, done or not; tonight's")

    def handle(self, *_args: Any, date: date | None, step: str, **_options: Any) -> None:
        some = date or step
        runs = [self._one(date or timezone.now().date(), step)] if some else self._all_due()
        for run in runs:
            for row in run.steps.filter(name=step) if step else run.steps.all():
                self._tell(run, row)
        if NightlyStep.objects.filter(run__in=runs, state=NightlyStep.State.FAILED).exists():
            sys.exit(1)

    def _all_due(self) -> list[NightlyRun]:
        begun = NightlyRun.objects.count()
        running.begin_due(timezone.now())
        due = list(NightlyRun.objects.unfinished().order_by("night"))
        if not due:
            self.stdout.write("Nothing is due." if begun else "No night has come yet.")
        progress = Progress("steps", len(due) * len(registry.STEPS))
        for run in due:
            self._do(run.night, "", progress)
        progress.finish()
        return due

    def _one(self, night: date, step: str) -> NightlyRun:
        progress = Progress("steps", 1 if step else len(registry.STEPS))
        run = self._do(night, step, progress)
        progress.finish()
        return run

    def _do(self, night: date, step: str, progress: Progress) -> NightlyRun:
        try:
            run = running.do(night, timezone.now, only=step, heard=lambda _: progress.advance())
        except running.NotThatDateError as error:
            raise CommandError(str(error)) from error
        if run is None:
            raise CommandError("Another process is at the nights' work. Its steps are on Staff → Nightly.")
        return run

    def _tell(self, run: NightlyRun, row: NightlyStep) -> None:
        told = row.error or ", ".join(f"{name}: {_plain(value)}" for name, value in row.result.items())
        self.stdout.write(f"{MARKS[row.state]}  {run.night}  {row.name:<16} {told}")


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
