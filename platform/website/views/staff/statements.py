from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.models import Organization
from billing.models import Statement
from website.views.statements import as_csv, as_pdf, found, page


@require_safe
def statement(request: HttpRequest, org: str, number: int) -> HttpResponse:
    """As its organization sees it."""
    one = _found(org, number)
    return render(request, "staff/statement.html", {"organization": one.organization, **page(request, one)})


@require_safe
def statement_csv(request: HttpRequest, org: str, number: int) -> StreamingHttpResponse:
    return as_csv(_found(org, number))


@require_safe
def statement_as_pdf(request: HttpRequest, org: str, number: int) -> HttpResponse:
    return as_pdf(_found(org, number))


def _found(org: str, number: int) -> Statement:
    return found(get_object_or_404(Organization, public_id=org), number)
