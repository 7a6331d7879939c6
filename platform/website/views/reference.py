"""The API reference, for everybody."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe

from website.catalogue import catalogue
from website.reference import Reference


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """Made from the dialect, the endpoints and the catalogue; drawn once for each state of them."""
    found = catalogue(timezone.now())
    asked = ("reference", settings.API_URL, settings.DIALECT.name)
    if asked not in found.tables:
        found.tables[asked] = render_to_string("public/reference_body.html", {"reference": Reference(found)})
    return render(request, "public/reference.html", {"body": found.tables[asked]})
