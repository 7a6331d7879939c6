"""How often an address may ask for what costs nothing. Counted in the cache; while that is away, everybody passes."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import orjson
from allauth.account.adapter import get_adapter
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

PER_MINUTE = 120

View = Callable[..., HttpResponse]


def throttled(view: View) -> View:
    """429 with Retry-After beyond PER_MINUTE of an address."""

    @wraps(view)
    def checked(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        now = timezone.now()
        name = f"throttle:{_address(request)}:{now:%H%M}"
        cache.add(name, 0, timeout=120)
        try:
            count = cache.incr(name)
        except ValueError:
            count = 0
        if count <= PER_MINUTE:
            return view(request, **kwargs)
        said = {"error": f"At most {PER_MINUTE} requests a minute. Keep what you got, and ask with If-None-Match."}
        answer = HttpResponse(orjson.dumps(said), "application/json", 429)
        answer["Retry-After"] = str(60 - now.second)
        return answer

    return checked


def _address(request: HttpRequest) -> str:
    """As TRUSTED_PROXIES lets it be known; all whom no proxy names are one."""
    try:
        return str(get_adapter(request).get_client_ip(request))
    except (PermissionDenied, ImproperlyConfigured):
        return "unknown"
