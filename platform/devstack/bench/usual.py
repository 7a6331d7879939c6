"""The same job done the usual way: Django REST framework, a row per key, a locked balance, a row per hold."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from rest_framework.authentication import BaseAuthentication  # noqa: E402
from rest_framework.exceptions import AuthenticationFailed, NotFound, PermissionDenied, Throttled  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from accounts import secrets  # noqa: E402
from accounts.models import ApiKey, ApiKeySecret  # noqa: E402
from billing.models import Balance  # noqa: E402
from catalog.models import Model  # noqa: E402
from gateway.http.request_ids import new_request_id  # noqa: E402

HOLD = 10_000_000
TABLE = "CREATE TABLE IF NOT EXISTS bench_hold (id uuid PRIMARY KEY, organization_id bigint, nanos bigint)"


class _ByKey(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[ApiKey, None]:
        secret = request.headers.get("Authorization", "").removeprefix("Bearer ")
        digests = [digest for _, digest in secrets.digests(secret)]
        found = ApiKeySecret.objects.select_related("api_key__organization").filter(digest__in=digests).first()
        if found is None or found.api_key.revoked_at:
            raise AuthenticationFailed
        return found.api_key, None


class _Check(APIView):
    authentication_classes = [_ByKey]
    permission_classes = []

    def get(self, request: Request) -> Response:
        key: ApiKey = request.user  # type: ignore[assignment]
        if key.organization.suspended_at or "chat" not in key.scopes:
            raise PermissionDenied
        if not Model.objects.filter(public_id=request.headers["X-Auth-Model"], enabled=True).exists():
            raise NotFound
        with transaction.atomic():
            balance = Balance.objects.select_for_update().get(organization=key.organization)
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT coalesce(sum(nanos), 0) FROM bench_hold WHERE organization_id = %s", [key.organization_id]
                )
                if balance.nanos - cursor.fetchone()[0] < HOLD:
                    raise Throttled
                request_id = new_request_id()
                cursor.execute("INSERT INTO bench_hold VALUES (%s, %s, %s)", [request_id, key.organization_id, HOLD])
        # Settled at once, which the usual way does when the answer has come.
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM bench_hold WHERE id = %s", [request_id])
        return Response({"id": str(request_id), "at": timezone.now()})


urlpatterns = [
    path("readyz", lambda _: HttpResponse()),
    path("auth/check/v1/chat/completions", _Check.as_view()),
]

from django.conf import settings  # noqa: E402

settings.ROOT_URLCONF = __name__
with connection.cursor() as _cursor:
    _cursor.execute(TABLE)
application = WSGIHandler()
