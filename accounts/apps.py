from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts.published import confirm, records
        from hotstate import outbox, rebuild

        rebuild.sources.append(records)
        outbox.confirmations.append(confirm)
