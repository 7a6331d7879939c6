"""`manage.py explain REQUEST_ID`, or `manage.py explain --key key_… --endpoint chat.completions --model …`."""

import json as encoding
from typing import Any
from uuid import UUID

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import ApiKey
from gateway.asking.endpoints import BY_NAME
from gateway.faces import dry_run
from hotstate import decision_log
from hotstate.decision_log import DecisionRecord
from hotstate.errors import Unreachable
from website.explaining import NOT_REACHED, PASSED, explain

MARKS = {PASSED: "ok", NOT_REACHED: "--"}


class Command(BaseCommand):
    help = "Explain a decision: every check, what it saw then, and what to do. With --key: what would be decided now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("request_id", nargs="?", type=UUID, help="the x-request-id of an answer")
        parser.add_argument("--key", help="dry run: a key's id (key_…); nothing is consumed")
        parser.add_argument("--endpoint", choices=BY_NAME, default="chat.completions")
        parser.add_argument("--model", default="")
        parser.add_argument("--address", help="the client's address")
        parser.add_argument("--input-tokens", type=int)
        parser.add_argument("--output-tokens", type=int)
        parser.add_argument("--json", action="store_true", help="one JSON object")

    def handle(self, *args: Any, request_id: UUID | None, key: str | None, json: bool, **options: Any) -> None:
        if (request_id is None) == (key is None):
            raise CommandError("Give a request id, or --key for a dry run.")
        try:
            record = _recorded(request_id) if request_id else _dry(str(key), options)
        except Unreachable as error:
            raise CommandError(f"Valkey can't be asked: {error}") from error
        self.stdout.write(_as_json(record) if json else _as_text(record))


def _recorded(request_id: UUID) -> DecisionRecord:
    record = decision_log.find(request_id)
    if record is None:
        raise CommandError(
            "No such decision is recorded. Refusals are kept for EXPLAIN_DAYS, of allowed requests only a sample;"
            " what was wrong with a request itself (400) is no decision."
        )
    return record


def _dry(key: str, options: dict[str, Any]) -> DecisionRecord:
    found = ApiKey.objects.select_related("organization").prefetch_related("secrets").filter(public_id=key).first()
    if found is None:
        raise CommandError(f"There is no key {key}.")
    if not options["model"]:
        raise CommandError("Name a --model.")
    asked = {name: options[name] for name in ("endpoint", "model", "address", "input_tokens", "output_tokens")}
    return dry_run.would_be(found, **asked)


def _as_json(record: DecisionRecord) -> str:
    told = explain(record)
    return encoding.dumps(
        {
            "verdict": record.verdict,
            "bound": record.bound,
            "resets_at": told.resets_at.isoformat() if told.resets_at else None,
            "fix": told.fix,
            "checks": [{"check": it.title, "state": it.state, "saw": dict(it.saw)} for it in told.checks],
            "record": msgspec.to_builtins(record),
        }
    )


def _as_text(record: DecisionRecord) -> str:
    told = explain(record)
    lines = [f"{record.id}  {told.at:%Y-%m-%d %H:%M:%S} UTC  {record.verdict}  {record.bound}".rstrip()]
    for check in told.checks:
        lines.append(f"  {MARKS.get(check.state, 'NO'):<3} {check.title}")
        lines += [f"        {what}: {saw}" for what, saw in check.saw]
    if told.resets_at:
        lines.append(f"resets {told.resets_at:%Y-%m-%d %H:%M:%S} UTC")
    if told.fix:
        lines.append(told.fix)
    return "\n".join(lines)
