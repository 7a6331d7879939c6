"""A simulated year: every night's steps are done, some after having been killed; every proof passes, every statement
chain closes.
"""

import os
from collections.abc import Callable
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.db import connection

from accounts.models import Alarm
from billing.models import DailyUsage, NightlyRun, NightlyStep, ProofRun, Statement, Subscription
from billing.nightly import running
from hotstate import outbox
from tests.billing.year import CUSTOMERS, FIRST, World, at
from tests.waiting import wait_until

DAYS = 366
NIGHTS = int(os.environ.get("YEAR_NIGHTS", DAYS + 1))
"""One begins each day of the year, and one ends the last; fewer while one works at this."""
# The product stood still: nothing was done in these nights.
STANDSTILLS = (range(58, 63), range(200, 203))
State = NightlyStep.State


class Killed(BaseException):
    """The process is gone: nothing after this is carried out."""


class Bomb:
    """Kills whoever asks the database for the n-th time."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, execute: Callable[..., Any], *args: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise Killed
        return execute(*args)


@pytest.fixture
def world(transactional_db: None, empty_valkey: Any, settings: Any) -> World:
    # How far a step is, which nobody looks at here.
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    world = World()
    world.begin()
    return world


# Two minutes of a core; many times that on a busy machine.
@pytest.mark.timeout(1800)
def test_a_year_closes(world: World) -> None:
    lots = Random(11)
    kills = 0
    for number in range(NIGHTS):
        night = FIRST + timedelta(days=number)
        if not any(number in standstill for standstill in STANDSTILLS):
            kills += spend_night(at(night, 6, 10), bomb=lots.randrange(1, 250) if is_dangerous(night, lots) else 0)
            assert_all_done(night)
        world.day(night)
    assert_the_year(world)
    assert kills >= NIGHTS // 20


def is_dangerous(night: date, lots: Random) -> bool:
    """Whether somebody kills this night's process: by lot, and whenever statements are drawn."""
    return lots.random() < 0.1 or night.day == 1


def spend_night(now: datetime, *, bomb: int) -> int:
    """Go on until the night is done; return how often it was killed."""
    # What a kill left untold is found by a sweep of its own.
    outbox.deliver()
    if bomb:
        try:
            with connection.execute_wrapper(Bomb(bomb)):
                running.go_on(lambda: now)
        except Killed:
            connection.close()
            outbox.deliver()
            # PostgreSQL may still hold what the killed process had locked.
            wait_until(lambda: running.go_on(lambda: now) is not None, "the night to be free")
            return 1
        return 0
    assert running.go_on(lambda: now) is not None
    return 0


def assert_all_done(night: date) -> None:
    open_steps = NightlyStep.objects.exclude(state=State.DONE)
    assert [(str(step), step.error) for step in open_steps.select_related("run")] == []
    assert NightlyRun.objects.order_by("night").last() == NightlyRun.objects.get(night=night, finished_at__isnull=False)


def assert_the_year(world: World) -> None:
    assert NightlyRun.objects.count() == NIGHTS
    assert not ProofRun.objects.exclude(ok=True).exists()
    assert not Alarm.objects.exclude(kind__startswith="usage_").exists()
    # Nothing was counted twice or not at all.
    assert sum(DailyUsage.objects.exclude(kind="correction").values_list("events", flat=True)) == world.requests
    if NIGHTS <= DAYS:
        return
    assert len(world.customers) == CUSTOMERS
    assert Subscription.objects.filter(number__gte=2).exists()
    months = {statement.through for statement in Statement.objects.all()}
    assert len(months) == 12
    # The chains close with what the ledger has of the days until then.
    last = Statement.objects.filter(through=date(2028, 12, 31))
    assert last.count() == CUSTOMERS
    for statement in last:
        chain = Statement.objects.filter(organization=statement.organization).order_by("number")
        opening = 0
        for place, link in enumerate(chain, 1):
            lines = sum(link.lines.values_list("amount_nanos", flat=True))
            assert (link.number, link.opening_nanos, link.closing_nanos) == (place, opening, opening + lines)
            opening = link.closing_nanos
