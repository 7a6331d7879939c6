"""`/healthz` and `/readyz`, answered before sessions, hosts and cookies are looked at; and NUL, which is refused."""

from collections.abc import Callable
from urllib.parse import unquote

from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse

Handler = Callable[[HttpRequest], HttpResponse]
Probe = Callable[[], object]


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


def no_nul(get_response: Handler) -> Handler:
    """PostgreSQL takes no NUL: an address or a cookie with one names nothing. Forms refuse it in their fields."""

    def middleware(request: HttpRequest) -> HttpResponse:
        query = unquote(request.META.get("QUERY_STRING", ""))
        if any("\0" in text for text in (request.path, query, *request.COOKIES.values())):
            raise Http404
        return get_response(request)

    return middleware


def _postgresql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


# What must answer for a server to be ready; rooms add theirs when the applications are loaded.
PROBES: dict[str, Probe] = {"postgresql": _postgresql}


def _failure(probe: Probe) -> str:
    try:
        probe()
    except Exception as error:
        return type(error).__name__
    return ""
