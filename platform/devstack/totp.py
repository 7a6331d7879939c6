"""The six digits of RFC 6238, so that `dev` can show the demo admin's current code."""

import base64
import hashlib
import hmac
import struct


def code(secret: str, time: float) -> str:
    """The code of a base32 secret at a Unix time in seconds (SHA-1, six digits, 30-second steps)."""
    key = base64.b32decode(secret.upper() + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time) // 30), hashlib.sha1).digest()
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"
