"""The rows of what upstreams go on making: who looks at it when, and who says how it ended. Blocking."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.models import Organization
from billing import stored
from gateway.models import UnfinishedWork
from hotstate import holds
from hotstate.client import reaching_valkey
from hotstate.holds import OPEN, Hold

AT_ONCE = 50
# Looked at ever more rarely, but often enough that its hold doesn't lapse.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(seconds=30)
# A line that isn't posted by then is written again, once: a machine that crashed may have lost it.
POSTED_WITHIN = timedelta(minutes=10)
MOST_LINES = 2
# Who found the end has so long to write the line, before another does. Written twice, it counts once.
WRITTEN_WITHIN = timedelta(seconds=5)


def begin(work: UnfinishedWork) -> None:
    """Remember it, and whose it is."""
    with transaction.atomic():
        work.save(force_insert=True)
        organization = Organization.objects.values_list("pk", flat=True).get(public_id=work.organization)
        stored.note([(organization, work.kind, work.upstream_id, work.model, work.route, work.started_at)])


def find(organization: str, kind: str, upstream_id: str) -> UnfinishedWork | None:
    """The newest by that id that hasn't ended."""
    found = UnfinishedWork.objects.filter(
        organization=organization, kind=kind, upstream_id=upstream_id, ending__isnull=True
    )
    return found.order_by("-pk").first()


def take_due(now: datetime) -> list[UnfinishedWork]:
    """What is to be looked at now, by nobody else meanwhile. What was posted is forgotten."""
    with transaction.atomic():
        due = UnfinishedWork.objects.select_for_update(skip_locked=True).filter(look_at__lte=now).order_by("look_at")
        found = list(due[:AT_ONCE])
        posted = _posted(str(work.request_id) for work in found if work.logged)
        done = [work for work in found if str(work.request_id) in posted or work.logged >= MOST_LINES]
        UnfinishedWork.objects.filter(pk__in=[work.pk for work in done]).delete()
        left = [work for work in found if work not in done]
        for work in left:
            age = now - work.started_at
            work.look_at = now + min(max(FIRST_PAUSE, age / 8), LONGEST_PAUSE)
        UnfinishedWork.objects.bulk_update(left, ["look_at"])
    return left


def _posted(request_ids: Iterable[str]) -> set[str]:
    asked = list(request_ids)
    return {found for is_posted in holds.posted for found in is_posted(asked)} if asked else set()


def hasten(request_id: UUID, now: datetime) -> None:
    """It has probably ended."""
    UnfinishedWork.objects.filter(request_id=request_id, ending__isnull=True).update(look_at=now)


def end(work: UnfinishedWork, ending: dict[str, Any], now: datetime) -> bool:
    """Say how it ended, where nobody has: whoever may say it writes the line."""
    open_ones = UnfinishedWork.objects.filter(pk=work.pk, ending__isnull=True)
    return bool(open_ones.update(ending=ending, ended_at=now, look_at=now + WRITTEN_WITHIN))


def note_logged(work: UnfinishedWork, now: datetime) -> None:
    """Its line was written."""
    UnfinishedWork.objects.filter(pk=work.pk).update(logged=work.logged + 1, look_at=now + POSTED_WITHIN)


def open_holds() -> list[Hold]:
    """What is held for all that hasn't ended."""
    return [_hold(work) for work in UnfinishedWork.objects.filter(ending__isnull=True)]


def hold_again(works: list[UnfinishedWork], now: datetime) -> None:
    """Renew their leases; what has lapsed is held anew. Raises Unreachable."""
    until_ms = int((now.timestamp() + settings.HOLD_LEASE_SECONDS) * 1000)
    with reaching_valkey() as valkey:
        holds.register(valkey, [_hold(work) for work in works if work.ending is None], until_ms)


def _hold(work: UnfinishedWork) -> Hold:
    return Hold(work.organization, str(work.request_id), OPEN, work.held_nanos, work.key)
