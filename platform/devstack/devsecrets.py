"""The secrets of a development stack: made once, kept in `var/secrets.env`, never those of a production."""

import base64
import secrets

from devstack import envfile
from devstack.places import Places


def load(places: Places) -> dict[str, str]:
    """The stack's secrets, after making those which are missing."""
    kept = envfile.read(places.secrets)
    made = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "KEY_PEPPERS": "1:" + secrets.token_hex(32),
        "ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "GATEWAY_CREDENTIAL": "gw-" + secrets.token_urlsafe(32),
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "VALKEY_PASSWORD": secrets.token_urlsafe(24),
        "MODELS_CREDENTIAL": "demo-upstream-credential",
        "STRIPE_SECRET_KEY": "sk_test_local" + secrets.token_hex(16),
        "STRIPE_WEBHOOK_SECRETS": "whsec_" + secrets.token_hex(16),
    }
    if missing := made.keys() - kept.keys():
        kept |= {name: made[name] for name in made if name in missing}
        envfile.write(places.secrets, kept)
    return kept
