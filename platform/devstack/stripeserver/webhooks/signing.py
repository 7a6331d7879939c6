"""Stripe's signature of a webhook: `t=SECONDS,v1=HEX`, HMAC-SHA256 over `SECONDS.BODY`."""

import hashlib
import hmac


def signature(secret: str, body: bytes, moment: int) -> str:
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"
