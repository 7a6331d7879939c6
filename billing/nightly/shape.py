"""What a step of the night is, and how it says that it can't be done yet."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

Result = dict[str, Any]
"""What came of a step: words or numbers by name, as staff read them."""


def _nobody(done: int, total: int) -> None:
    """Nobody wants to know how far a step is."""


@dataclass(frozen=True)
class Night:
    """The night that begins a UTC date.

    What belongs to a date (a day that is closed, a period that is stated) is computed for `date`; money moves, and
    people are told, at `clock()`, which is later where a night is caught up on. `tell` hears how far a step is: how
    much is done, of how much (0: nobody knows).
    """

    date: date
    clock: Callable[[], datetime]
    tell: Callable[[int, int], None] = field(default=_nobody)

    @property
    def age(self) -> timedelta:
        """How long ago its midnight was."""
        return self.clock() - datetime(self.date.year, self.date.month, self.date.day, tzinfo=UTC)


class NotReadyError(Exception):
    """The step can't be done yet, which is no failure; the message says why, in words."""


class FoundWrongError(Exception):
    """What the step looked at is wrong, and staff were told of it; the message says what."""


@dataclass(frozen=True)
class Step:
    """`run` does what is to be done and returns what came of it; called again, it does nothing twice.

    `needs` names the steps of the same night that must be done before; the step waits for them no longer than
    `patience` after midnight.
    """

    name: str
    claim: str
    run: Callable[[Night], Result]
    needs: tuple[str, ...] = ()
    patience: timedelta = timedelta.max
