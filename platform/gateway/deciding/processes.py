"""Gateways at work, as rows: who has to tell its holds after a loss of Valkey's state."""

import asyncio
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from django.db import Error as DatabaseError
from django.db import connections
from django.db.models import Max

from gateway.models import GatewayProcess

log = structlog.get_logger(__name__)

BEAT_SECONDS = 3.0
LIVE_FOR = timedelta(seconds=15)
FORGOTTEN_AFTER = timedelta(days=1)


def beat(name: str, now: datetime) -> None:
    """This gateway lives."""
    values = {"seen_at": now, "host": socket.gethostname()[:200]}
    GatewayProcess.objects.update_or_create(name=name, defaults=values, create_defaults={**values, "started_at": now})


def leave(name: str, now: datetime) -> None:
    """This gateway has stopped and left nothing; those who were killed long ago and never came back go too."""
    GatewayProcess.objects.filter(name=name).delete()
    GatewayProcess.objects.filter(seen_at__lt=now - FORGOTTEN_AFTER).delete()


def live() -> set[str]:
    """The gateways that have to be waited for: seen lately, as of when any was.

    Not as of now: while PostgreSQL was away none was seen, and all are there.
    """
    newest = GatewayProcess.objects.aggregate(newest=Max("seen_at"))["newest"]
    if newest is None:
        return set()
    return set(GatewayProcess.objects.filter(seen_at__gte=newest - LIVE_FOR).values_list("name", flat=True))


async def keep_beating(name: str) -> None:
    """Beat for ever. The first beat is the answer to the era in which this gateway begins."""
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        await _in_thread(beat, name)


async def say_goodbye(name: str) -> None:
    """Leave; where PostgreSQL is away, others wait for this gateway once more."""
    await _in_thread(leave, name)


async def _in_thread(work: Callable[[str, datetime], None], name: str) -> None:
    def run() -> None:
        try:
            work(name, datetime.now(UTC))
        finally:
            connections.close_all()

    try:
        await asyncio.to_thread(run)
    except DatabaseError as error:
        log.warning("gateway's row not written", error=str(error))
