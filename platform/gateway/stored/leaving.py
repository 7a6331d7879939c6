"""A request whose upstream goes on after the answer: what is kept of it until it has ended."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.models import UnfinishedWork

if TYPE_CHECKING:
    from gateway.proxying.running import Running


def line_so_far(running: "Running") -> dict[str, Any]:
    """What the usage line says of any ending."""
    progress = running.progress
    first = progress.first_byte_at
    return {
        "id": running.request_id,
        "time": running.admitted_at,
        "key": running.identity.record.key,
        "org": running.identity.record.org,
        "secret": running.identity.secret_id,
        "model": running.model.public_id,
        "endpoint": running.endpoint.name,
        "variant": running.asked.counted.variant,
        "stream": running.asked.stream,
        "ttft_ms": max(0, int((first - running.admitted_at).total_seconds() * 1000)) if first else None,
        "route": str(running.route.pk),
        "attempts": progress.attempts,
        "upstream_request_id": progress.upstream_request_id,
        "stored": progress.stored_id,
    }


def left_work(running: "Running") -> UnfinishedWork:
    """The row, not yet written."""
    asked, record = running.asked, running.identity.record
    line = {name: value for name, value in line_so_far(running).items() if name not in ("id", "time")}
    now = datetime.now(UTC)
    return UnfinishedWork(
        request_id=running.request_id,
        organization=record.org,
        key=record.key,
        kind=running.endpoint.name,
        upstream_id=running.progress.stored_id,
        model=running.model.public_id,
        route=running.route.pk,
        held_nanos=running.held.nanos,
        line={**line, "status": running.progress.status},
        input_bytes=asked.input_bytes(),
        most_output=asked.output_limit(running.model) if running.endpoint.has_output else 0,
        units=asked.counted.usage,
        started_at=running.admitted_at,
        look_at=now,
    )
