"""Telling the gateways that models, upstreams, routes or prices changed."""

from datetime import datetime

from hotstate import outbox


def announce(now: datetime) -> None:
    """In the transaction of a change: after its commit every gateway reads the catalogue again, within a second."""
    outbox.add([], now=now, catalog=True)
