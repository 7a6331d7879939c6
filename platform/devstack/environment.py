"""What the processes of a stack have in their environment: Keymeter's settings for development."""

from collections.abc import Mapping
from dataclasses import dataclass

from devstack.engines import Engines
from devstack.places import Places
from devstack.ports import HOST

SECRETS = ("SECRET_KEY", "KEY_PEPPERS", "ENCRYPTION_KEYS", "GATEWAY_CREDENTIAL", "MODELS_CREDENTIAL")
OF_STRIPE = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRETS")
ENGINES = ("DATABASE_URL", "VALKEY_URL", "CELERY_BROKER_URL")
FOLDERS = ("VAR_DIR", "GATEWAY_SPOOL_DIR", "ARCHIVE_DIR", "KEYMETER_VAR")
MANNERS = ("ALLOWED_HOSTS", "SECURE_COOKIES", "REFUSE_PLAIN_HTTP", "LOG_FORMAT")


@dataclass(frozen=True)
class Addresses:
    """The ports of the services. Names are `localhost`, because browsers allow passkeys only there without TLS.

    `stripe` is None where a key of the real one is set: then none of our settings for it are.
    """

    web: int = 8000
    gateway: int = 8001
    models: int = 8002
    mailbox: int = 8025
    smtp: int = 1025
    stripe: int | None = 8003

    @property
    def console_url(self) -> str:
        return f"http://localhost:{self.web}"

    @property
    def api_url(self) -> str:
        return f"http://localhost:{self.gateway}/v1"

    @property
    def models_url(self) -> str:
        return f"http://{HOST}:{self.models}/v1"

    @property
    def mailbox_url(self) -> str:
        return f"http://localhost:{self.mailbox}"

    @property
    def stripe_url(self) -> str | None:
        return f"http://localhost:{self.stripe}" if self.stripe else None

    @property
    def webhook_url(self) -> str:
        """Where the local Stripe sends its events."""
        return f"http://{HOST}:{self.web}/stripe/webhook"

    def settings(self) -> dict[str, str]:
        """The settings that tell the services where the others are."""
        stripe = {"STRIPE_API_BASE": f"http://{HOST}:{self.stripe}"} if self.stripe else {}
        return stripe | {
            "CONSOLE_URL": self.console_url,
            "API_URL": self.api_url,
            "INTAKE_URL": f"http://{HOST}:{self.web}",
            "EMAIL_URL": f"smtp://{HOST}:{self.smtp}",
            "MODELS_URL": self.models_url,
        }


def environment(places: Places, secrets: Mapping[str, str], engines: Engines, addresses: Addresses) -> dict[str, str]:
    """The settings, secrets included: for processes and private files only."""
    return {
        **{name: secrets[name] for name in (*SECRETS, *(OF_STRIPE if addresses.stripe else ()))},
        **engines.addresses(),
        "ALLOWED_HOSTS": f"localhost,{HOST}",
        **addresses.settings(),
        "VAR_DIR": str(places.var),
        "GATEWAY_SPOOL_DIR": str(places.spool),
        "ARCHIVE_DIR": str(places.archive),
        "SECURE_COOKIES": "false",
        # On loopback there is no TLS, whatever the dialect.
        "REFUSE_PLAIN_HTTP": "false",
        "LOG_FORMAT": "console",
    }


def without_stack(variables: Mapping[str, str]) -> dict[str, str]:
    """An environment without the settings of the stack that it comes from, for starting another one in it."""
    ours = {*SECRETS, *OF_STRIPE, *ENGINES, *FOLDERS, *MANNERS, *Addresses().settings()}
    return {name: value for name, value in variables.items() if name not in ours}
