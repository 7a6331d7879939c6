from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class DenyAll(BasePermission):
    """The default: a view that doesn't say who may use it can be used by nobody."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return False
