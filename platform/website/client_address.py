"""Log lines name the client's address: as allauth's limits see it, so TRUSTED_PROXIES decides who is believed."""

from typing import Any

import structlog
from allauth.account.adapter import get_adapter
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest
from django_structlog.signals import bind_extra_request_metadata


@receiver(bind_extra_request_metadata)
def bind_address(request: HttpRequest, **kwargs: Any) -> None:
    try:
        structlog.contextvars.bind_contextvars(ip=get_adapter(request).get_client_ip(request))
    except PermissionDenied:  # no proxy said whose request it is
        structlog.contextvars.bind_contextvars(ip=None)
