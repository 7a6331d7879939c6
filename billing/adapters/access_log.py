"""A JSON access log of nginx or Envoy, as deploy/gateways writes it: for models that are priced per request."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from billing.adapters.record import (
    NotUsageError,
    Record,
    UnreadableError,
    duration,
    ended,
    endpoint_of,
    identified,
    moment,
    outcome_of,
)


def read(record: Record) -> dict[str, Any]:
    """Raises UnreadableError, and NotUsageError for what Keymeter refused."""
    status = record.whole("status", "response_code")
    if status is None:
        raise UnreadableError("it has no `status`")
    if not record.get("key") and status >= 400:
        raise NotUsageError
    started, finished = _times(record)
    outcome = outcome_of(status)
    return {
        **identified(record, started, "access-log", record.optional("request_id", "x-request-id"), *_others(record)),
        "key": record.text("key"),
        "org": record.optional("org"),
        "model": record.text("model"),
        "endpoint": endpoint_of(record.text("path", "uri", "x-envoy-origin-path")),
        "status": status,
        "outcome": outcome,
        "usage": _usage(record, outcome),
        "ended": finished,
    }


def _others(record: Record) -> Iterator[str]:
    yield record.told("key")
    yield record.told("path", "uri", "x-envoy-origin-path")
    yield record.told("status", "response_code")
    yield record.told("response_bytes", "bytes_sent")
    yield record.told("seconds", "request_time", "milliseconds", "duration")


def _usage(record: Record, outcome: str) -> dict[str, int]:
    """A request that its client left counts if an answer had begun."""
    if outcome == "client_disconnected" and not record.whole("response_bytes", "bytes_sent"):
        return {}
    return {"requests": 1}


def _times(record: Record) -> tuple[datetime, datetime]:
    """Envoy's time is that of the beginning, with `milliseconds`; nginx's of the end, with `seconds`."""
    told = moment(record.get("msec", "start_time", "time", "time_iso8601"), "time")
    seconds = record.get("seconds", "request_time")
    if seconds is None:
        return told, ended(told, record.whole("milliseconds", "duration")) or told
    return told - duration(seconds, "seconds"), told
