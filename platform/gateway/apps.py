from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"

    def ready(self) -> None:
        import gateway.checks  # noqa: F401  (registers itself)
        from gateway.deciding.processes import live
        from hotstate import recovery

        recovery.gateways.append(live)
