"""Keys that another system made, stored in bulk: all of a file or nothing of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.conf import settings
from django.db import transaction
from django.db.models import prefetch_related_objects

from accounts import secrets
from accounts.import_rows import BadRow, Row
from accounts.models import ApiKey, ApiKeySecret, Organization, audit
from hotstate import outbox

BATCH = 1_000


@dataclass
class Outcome:
    """How many rows became keys, were there already, or couldn't be imported."""

    created: int = 0
    present: int = 0
    bad: int = 0
    stored: bool = False


def import_keys(
    organization: Organization,
    rows: Iterable[Row | BadRow],
    *,
    say: Callable[[BadRow], None],
    origin: dict[str, str],
    skip_bad: bool = False,
    dry_run: bool = False,
    now: datetime,
) -> Outcome:
    """Store what isn't there yet, in one transaction; nothing where a row is bad, unless `skip_bad`.

    A secret that the organization has already is left as it is, also where its key was revoked: run again, an import
    does nothing. `say` is told of each bad row; `origin` is where they came from, for the audit trail.
    """
    importing = _Import(organization, say, now)
    with transaction.atomic():
        rest = iter(rows)
        while batch := list(islice(rest, BATCH)):
            importing.take(batch)
        outcome = importing.outcome
        outcome.stored = not dry_run and (skip_bad or not outcome.bad)
        if not outcome.stored:
            transaction.set_rollback(True)
        elif outcome.created:
            counts = {"created": outcome.created, "present": outcome.present, "left_out": outcome.bad}
            target = organization.public_id
            after = {**counts, **origin}
            audit.record("keys.import", target, actor=None, organization=organization, after=after, now=now)
    return outcome


class _Import:
    def __init__(self, organization: Organization, say: Callable[[BadRow], None], now: datetime) -> None:
        self._organization = organization
        self._say = say
        self._now = now
        self._pepper_id = max(settings.KEY_PEPPERS)
        # SHA-256 → line: 100,000 take some 15 MB.
        self._lines: dict[bytes, int] = {}
        self.outcome = Outcome()

    def take(self, batch: list[Row | BadRow]) -> None:
        rows = []
        for row in batch:
            if isinstance(row, BadRow):
                self._bad(row)
            elif (first := self._lines.setdefault(row.sha256, row.line)) != row.line:
                self._bad(BadRow(row.line, f"It has the same secret as line {first}: leave one of them out."))
            else:
                rows.append(row)
        owners = self._owners(rows)
        new = []
        for row in rows:
            owner = owners.get(row.sha256)
            if owner is None:
                new.append(row)
            elif owner == self._organization.pk:
                self.outcome.present += 1
            else:
                self._bad(BadRow(row.line, "This secret is a key of another organization: leave it out."))
        self._store(new)

    def _owners(self, rows: list[Row]) -> dict[bytes, int]:
        """By SHA-256, the organization that has the secret, whichever pepper it was stored with."""
        of = {
            secrets.peppered(row.sha256, pepper): row.sha256 for row in rows for pepper in settings.KEY_PEPPERS.values()
        }
        found = ApiKeySecret.objects.filter(digest__in=list(of)).values_list("digest", "api_key__organization_id")
        return {of[bytes(digest)]: owner for digest, owner in found}

    def _store(self, rows: list[Row]) -> None:
        keys = ApiKey.objects.bulk_create(
            ApiKey(organization=self._organization, created_at=self._now, **row.terms.columns()) for row in rows
        )
        pepper = settings.KEY_PEPPERS[self._pepper_id]
        ApiKeySecret.objects.bulk_create(
            ApiKeySecret(
                api_key=key,
                digest=secrets.peppered(row.sha256, pepper),
                pepper_id=self._pepper_id,
                prefix=row.prefix,
                last4=row.last4,
                imported=True,
                created_at=self._now,
            )
            for key, row in zip(keys, rows, strict=True)
        )
        prefetch_related_objects(keys, "secrets")
        outbox.add([key.record() for key in keys], now=self._now)
        self.outcome.created += len(keys)

    def _bad(self, row: BadRow) -> None:
        self.outcome.bad += 1
        self._say(row)
