"""A line whose id is another event's, as an event of its own."""

from datetime import timedelta

import msgspec

from billing.adapters.record import EPOCH, derived_id
from billing.lines import encode, parse


def as_own_event(raw: bytes) -> bytes:
    """The line under an id that is made of its id and of what it says, so it is the same each time.

    It has the first's milliseconds, so its day and its price are those of its own time. Raises LineError.
    """
    line = parse(raw)
    time = EPOCH + timedelta(milliseconds=line.id.int >> 80)
    counted = msgspec.json.encode({meter: units for meter, units in line.usage.items() if units}, order="sorted")
    told = [str(line.id), line.key, line.model, line.outcome, counted.decode()]
    # Ids that were made before variants counted stay.
    told += [line.variant] if line.variant else []
    return encode(msgspec.structs.replace(line, id=derived_id(time, "differs", *told)))
