"""The API reference, for everybody."""

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe

from website import openapi
from website.catalogue import catalogue
from website.open_json import for_everybody
from website.reference import Reference
from website.throttle import throttled


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """Made from the dialect, the endpoints and the catalogue; drawn once for each state of them."""
    found = catalogue(timezone.now())
    asked = ("reference", settings.API_URL, settings.DIALECT.name)
    if asked not in found.tables:
        found.tables[asked] = render_to_string("public/reference_body.html", {"reference": Reference(found)})
    return render(request, "public/reference.html", {"body": found.tables[asked]})


@require_safe
@throttled
def openapi_file(request: HttpRequest) -> HttpResponse:
    """The same for programs: OpenAPI 3.1."""
    return for_everybody(request, orjson.dumps(openapi.document()))
