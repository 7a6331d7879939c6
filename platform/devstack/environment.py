"""What the processes of a stack have in their environment: Keymeter's settings for development."""

from collections.abc import Mapping
from dataclasses import dataclass

from devstack.engines import Engines
from devstack.places import Places
from devstack.ports import HOST


@dataclass(frozen=True)
class Addresses:
    """The ports of the services. Names are `localhost`, because browsers allow passkeys only there without TLS."""

    web: int = 8000
    gateway: int = 8001
    models: int = 8002
    mailbox: int = 8025
    smtp: int = 1025

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


def environment(places: Places, secrets: Mapping[str, str], engines: Engines, addresses: Addresses) -> dict[str, str]:
    """The settings, secrets included: for processes and private files only."""
    return {
        **{name: secrets[name] for name in ("SECRET_KEY", "KEY_PEPPERS", "ENCRYPTION_KEYS", "GATEWAY_CREDENTIAL")},
        **engines.addresses(),
        "ALLOWED_HOSTS": f"localhost,{HOST}",
        "CONSOLE_URL": addresses.console_url,
        "API_URL": addresses.api_url,
        "INTAKE_URL": f"http://{HOST}:{addresses.web}",
        "EMAIL_URL": f"smtp://{HOST}:{addresses.smtp}",
        "MODELS_URL": addresses.models_url,
        "MODELS_CREDENTIAL": secrets["MODELS_CREDENTIAL"],
        "VAR_DIR": str(places.var),
        "GATEWAY_SPOOL_DIR": str(places.spool),
        "ARCHIVE_DIR": str(places.archive),
        "SECURE_COOKIES": "false",
        "LOG_FORMAT": "console",
    }
