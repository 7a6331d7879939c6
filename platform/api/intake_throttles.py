"""How much usage a credential may send. Counted in Valkey by the minute; while that is away, everybody passes."""

import time

from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from api.authentication import gateway_of

MINUTE = 60


class _PerMinute(BaseThrottle):
    """One number for each credential and minute: a list of what came, as DRF keeps it, would grow with the limit."""

    scope = ""
    _left = 0.0

    def most(self) -> int:
        raise NotImplementedError

    def allow_request(self, request: Request, view: APIView) -> bool:
        minute, past = divmod(time.time(), MINUTE)
        self._left = MINUTE - past
        counted = f"intake:{self.scope}:{gateway_of(request).pk}:{minute:.0f}"
        cache.add(counted, 0, 2 * MINUTE)
        try:
            return cache.incr(counted) <= self.most()
        except ValueError:
            return True

    def wait(self) -> float:
        return self._left


class Batches(_PerMinute):
    """What log shippers and other gateways send."""

    scope = "batches"

    def most(self) -> int:
        return settings.USAGE_BATCHES_PER_MINUTE


class Segments(_PerMinute):
    """What our gateways ship: each does so every second, and several may share a credential."""

    scope = "segments"

    def most(self) -> int:
        return settings.USAGE_SEGMENTS_PER_MINUTE
