"""When periods begin and end. Pure; UTC."""

from calendar import monthrange
from datetime import datetime

from billing.models import PlanVersion

MONTHS = {PlanVersion.Period.MONTH: 1, PlanVersion.Period.YEAR: 12}


def following(starts_at: datetime, period: str, anchor_day: int) -> datetime:
    """When a period that begins then ends: on the anchor's day of the month, or the last one where it has none such."""
    months = starts_at.year * 12 + starts_at.month - 1 + MONTHS[PlanVersion.Period(period)]
    year, month = months // 12, months % 12 + 1
    return starts_at.replace(year=year, month=month, day=min(anchor_day, monthrange(year, month)[1]))
