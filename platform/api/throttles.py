"""How often the management API may be asked. Counted in Valkey; while that is away, everybody passes."""

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from accounts.models import ApiKey
from api.authentication import client_address
from gateway.deciding.verdicts import Verdict
from gateway.errors import ApiError, refusal

READING = ("GET", "HEAD")
UNKNOWN_KEYS_PER_MINUTE = 30


class _OfTheOrganization(SimpleRateThrottle):
    """All keys of an organization together: one that makes keys doesn't multiply what it may ask."""

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        if (request.method in READING) != (self.scope == "reads") or not isinstance(request.auth, ApiKey):
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.auth.organization.public_id}


class Reads(_OfTheOrganization):
    scope = "reads"

    def get_rate(self) -> str:
        return f"{settings.MANAGEMENT_READS_PER_MINUTE}/min"


class Writes(_OfTheOrganization):
    scope = "writes"

    def get_rate(self) -> str:
        return f"{settings.MANAGEMENT_WRITES_PER_MINUTE}/min"


class UnknownKeys(SimpleRateThrottle):
    """Keys that nobody has, by the client's address. Asked only once a look-up has failed."""

    scope = "unknown-keys"
    rate = f"{UNKNOWN_KEYS_PER_MINUTE}/min"

    def refusal(self, request: Request) -> ApiError:
        """How one more of them is refused."""
        if self.allow_request(request, APIView()):
            return refusal(Verdict.UNKNOWN)
        wait_ms = int((self.wait() or 0) * 1000)
        return refusal(Verdict.RATE_LIMITED, "unknown keys from your address", wait_ms=wait_ms)

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self.cache_format % {"scope": self.scope, "ident": client_address(request) or "unknown"}
