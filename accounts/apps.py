from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts.published import confirm, records
        from hotstate import outbox, recovery

        recovery.sources.append(records)
        outbox.confirmations.append(confirm)
