from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"

    def ready(self) -> None:
        from gateway.processes import live
        from hotstate import recovery

        recovery.gateways.append(live)
