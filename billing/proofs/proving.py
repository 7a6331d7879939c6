"""Carrying the proofs out, all on one state of the books."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

import structlog
from django.db import InterfaceError, connection, transaction

from billing.proofs import PROOFS
from billing.proofs.shape import Extent, Finding, Proof

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Result:
    name: str
    ok: bool
    checked: int
    offender: str


def prove(now: datetime, *, day: date | None = None, told: Callable[[Proof], None] = lambda _: None) -> list[Result]:
    """Prove the books, or what one UTC day is part of. `told` hears of each proof before it begins.

    Reads one state of the books and locks nothing, so usage goes on meanwhile.
    """
    results = []
    with _one_state():
        extent = Extent.of(day, now)
        for proof in PROOFS:
            told(proof)
            finding = _checked(proof, extent)
            offender = finding.offender
            if finding.wrong > 1:
                offender += f" (and {finding.wrong - 1} more)"
            results.append(Result(proof.name, finding.wrong == 0, finding.checked, offender))
    return results


def _checked(proof: Proof, extent: Extent) -> Finding:
    try:
        with transaction.atomic():
            return proof.check(extent)
    except InterfaceError:
        # The connection is gone, and with it what the other proofs have seen.
        raise
    except Exception as error:
        # What can't be asked isn't proved; the others are asked all the same.
        log.exception("a proof can't be carried out", proof=proof.name)
        return Finding(0, 1, f"It can't be carried out: {type(error).__name__}: {error}")


@contextmanager
def _one_state() -> Iterator[None]:
    """One snapshot for all that is read; within a caller's transaction, whatever that one sees."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
