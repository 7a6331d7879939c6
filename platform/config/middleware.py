"""`/healthz` and `/readyz`, answered before sessions, hosts and cookies are looked at."""

from collections.abc import Callable

from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

Handler = Callable[[HttpRequest], HttpResponse]


def health(get_response: Handler) -> Handler:
    """`/healthz`: the process answers. `/readyz`: PostgreSQL and Valkey do too; 503 names what doesn't."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz":
            return JsonResponse({"ok": True})
        if request.path == "/readyz":
            failures = {name: error for name, probe in PROBES.items() if (error := _failure(probe))}
            return JsonResponse({"ok": not failures, "failing": failures}, status=503 if failures else 200)
        return get_response(request)

    return middleware


def _postgresql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _valkey() -> None:
    cache.get("readyz")


PROBES: dict[str, Callable[[], None]] = {"postgresql": _postgresql, "valkey": _valkey}


def _failure(probe: Callable[[], None]) -> str:
    try:
        probe()
    except Exception as error:
        return type(error).__name__
    return ""
