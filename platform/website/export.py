"""Requests as CSV, a line at a time, however many there are."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any

from billing.meters import METERS
from website import money

HEAD = ("id", "time", "key", "key_name", "model", "endpoint", "status", "outcome", "stream", "estimated")
# What a spreadsheet would run as a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Echo:
    """A file that gives back what is written to it."""

    def write(self, line: str) -> str:
        return line


def lines(events: Iterable[Any]) -> Iterator[str]:
    """A head, then one line for each usage event; the charge is a decimal number of dollars with all nine decimals."""
    writer = csv.writer(Echo())
    yield writer.writerow([*HEAD, *METERS, "charge_usd"])
    for event in events:
        yield writer.writerow(
            [
                event.id,
                event.time.isoformat(),
                event.api_key.public_id,
                inert(event.api_key.name),
                event.model.public_id,
                event.endpoint,
                event.status,
                event.outcome,
                "true" if event.stream else "false",
                "true" if event.estimated else "false",
                *(event.usage.get(meter, 0) for meter in METERS),
                money.decimal(event.charge_nanos),
            ]
        )


def inert(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
