"""What pages of the catalogue have in common: a change is announced to the gateways with it."""

from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from accounts.admin import AuditedAdmin
from catalog.changes import announce


class CatalogAdmin(AuditedAdmin):
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """In the transaction of the page: the change, its audit entry and the notice to the gateways."""
        super().save_model(request, obj, form, change)
        announce(timezone.now())


class SoldAdmin(CatalogAdmin):
    """Of what is sold under an id of its own: a model, an alias."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Keys, prices and customers' code name it by its id: it stays."""
        return ("public_id",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        if not change:
            obj.created_at = timezone.now()
        super().save_model(request, obj, form, change)
