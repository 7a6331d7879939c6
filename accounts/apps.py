from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts.published import records
        from hotstate import rebuild

        rebuild.sources.append(records)
