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
