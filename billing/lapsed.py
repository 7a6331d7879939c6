"""What people say about holds that lapsed without an event."""

from datetime import datetime

from django.db import transaction

from accounts.models import User, audit
from hotstate.models import LapsedHold


def explain_lapsed(hold: LapsedHold, explanation: str, *, actor: User, now: datetime) -> bool:
    """A person says what became of that request. Whether it was still open."""
    with transaction.atomic():
        if not LapsedHold.objects.open().filter(pk=hold.pk).update(explained_at=now, explanation=explanation):
            return False
        audit.record("lapsed_hold.explain", f"request:{hold.request_id}", actor=actor, reason=explanation, now=now)
    return True
