from billing.expiry import expire_grants
from billing.nightly.closing_days import closed_until
from billing.nightly.shape import Night, Result


def expire(night: Night) -> Result:
    now = night.clock()
    return {"grants expired": expire_grants(closed_until(now), now=now)}
