"""Books that disagree: no statement is drawn of them, and staff are told."""

from datetime import datetime

import structlog

from accounts.models import Organization, alarm
from billing.statements.drawing import DisagreesError

log = structlog.get_logger(__name__)


def tell(organization: Organization, error: DisagreesError, now: datetime) -> None:
    """An alarm, by organization."""
    log.error("statement not drawn", organization=organization.public_id, error=str(error))
    alarm.raise_alarm("statement_fails", organization.public_id, str(error), now=now)
