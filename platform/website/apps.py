from django.apps import AppConfig


class WebsiteConfig(AppConfig):
    name = "website"

    def ready(self) -> None:
        from config.middleware import PROBES
        from website import client_address, own_security, second_factor, signup  # noqa: F401

        PROBES["valkey"] = _valkey


def _valkey() -> None:
    from hotstate.client import reaching_valkey

    with reaching_valkey() as valkey:
        valkey.ping()
