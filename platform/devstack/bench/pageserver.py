"""The website as it is, with what each answer took told in its headers, and a page that is nothing but the frame."""

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.db import connection  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.shortcuts import render  # noqa: E402
from django.urls import path  # noqa: E402

from config import urls  # noqa: E402
from devstack.bench.pages import ASKED, COMPUTED, SHELL, TOOK  # noqa: E402


def shell(request: HttpRequest) -> HttpResponse:
    """What every staff page has: session, second factor, navigation."""
    return render(request, "staff/base.html")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """WSGI. An answer is complete before it is told how long it took."""
    queries = [0]

    def count(execute: Callable[..., Any], *arguments: Any) -> Any:
        queries[0] += 1
        return execute(*arguments)

    status = ""
    headers: list[tuple[str, str]] = []

    def start(told: str, named: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
        nonlocal status, headers
        status, headers = told, named
        return bytes

    begun, computed = time.perf_counter(), time.thread_time()
    with connection.execute_wrapper(count):
        answer = _website(environ, start)
        body = b"".join(answer)
        answer.close()
    told = {TOOK: _microseconds(time.perf_counter() - begun), COMPUTED: _microseconds(time.thread_time() - computed)}
    start_response(status, [*headers, *told.items(), (ASKED, str(queries[0]))])
    return [body]


def _microseconds(seconds: float) -> str:
    return str(int(seconds * 1_000_000))


handler500 = urls.handler500
urlpatterns = [path(SHELL.removeprefix("/"), shell), *urls.urlpatterns]
settings.ROOT_URLCONF = __name__
_website = WSGIHandler()
