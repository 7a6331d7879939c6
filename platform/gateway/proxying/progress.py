"""How far a request has come."""

from dataclasses import dataclass
from datetime import datetime

from gateway.models import UnfinishedWork


@dataclass
class Progress:
    """What is known so far of how a request went."""

    outcome: str = "completed"
    status: int = 200
    first_byte_at: datetime | None = None
    reported: dict[str, int] | None = None
    output_bytes: int = 0
    upstream_request_id: str = ""
    # The id by which the upstream keeps the answer; whether gateways were told.
    stored_id: str = ""
    bound: bool = False
    # Those that were made.
    pictures: int = 0
    # Routes that were tried, the one that answered too.
    attempts: int = 0
    # The upstream has said its last word; the client has the whole answer.
    finished: bool = False
    answered: bool = False
    # The upstream goes on with it: the caretaker writes the line.
    left: UnfinishedWork | None = None
