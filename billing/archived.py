"""What is archived and not yet in the books, when Valkey has lost what it held for it."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from uuid import UUID

import msgspec
import structlog

from billing.archive import read_lines
from billing.models import Segment
from billing.posting import post_segment
from hotstate.holds import SETTLED, Hold

log = structlog.get_logger(__name__)


class _Claim(msgspec.Struct):
    id: UUID
    key: str
    org: str = ""
    charge_nanos: int | None = None


_claim = msgspec.json.Decoder(_Claim)


def post_archived(clock: Callable[[], datetime], deadline: datetime) -> Iterator[list[Hold]]:
    """Post what waits, the oldest first, until the deadline; give the holds of each segment that is left then.

    What is left fails, is in another worker's hands, or is too much. A hold may be given of what is posted just now.
    """
    waiting = list(Segment.objects.unposted().order_by("id").values_list("pk", flat=True))
    for pk in waiting:
        if clock() >= deadline:
            break
        try:
            post_segment(pk, now=clock())
        except Exception:
            # The workers raise the alarm, and try again.
            log.exception("posting fails during a recovery", segment=pk)
    for path in Segment.objects.unposted().filter(pk__in=waiting).values_list("path", flat=True):
        yield list(settled_holds(read_lines(path)))


def settled_holds(lines: Iterable[bytes]) -> Iterator[Hold]:
    """The charges that a gateway computed, as holds. Lines that name no organization or no charge are left out."""
    for line in lines:
        try:
            claim = _claim.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # Torn or malformed: it will be quarantined, not charged.
            continue
        if claim.org and claim.charge_nanos is not None:
            yield Hold(claim.org, str(claim.id), SETTLED, claim.charge_nanos, claim.key)
