from billing.expiry import expire_grants
from billing.nightly.shape import Night, Result


def expire(night: Night) -> Result:
    return {"grants expired": expire_grants(night.clock())}
