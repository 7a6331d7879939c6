from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Membership, Organization, Role
from billing.models import Statement
from billing.statements import asking
from billing.statements.drawing import DrawingError
from website import statement_pdf, statements
from website.access import for_members

SHOWN = 60


@require_safe
@for_members
def statement_list(request: HttpRequest, member: Membership) -> HttpResponse:
    """The newest first; five years of months are on one page."""
    found = Statement.objects.filter(organization=member.organization).order_by("-number")
    context = {
        "member": member,
        "statements": found[:SHOWN],
        "may_draw": may_draw(member),
        "through": asking.last_closed_day(timezone.now()),
    }
    return render(request, "console/statements.html", context)


@for_members
@require_POST
def statement_draw(request: HttpRequest, member: Membership) -> HttpResponse:
    """One on demand."""
    if not may_draw(member):
        raise PermissionDenied("Only owners and admins have statements drawn.")
    try:
        drawn = asking.ask(member.organization, now=timezone.now(), actor=member.user)
    except DrawingError as error:
        messages.error(request, str(error))
        return redirect("statements", org=member.organization.public_id)
    return redirect("statement", org=member.organization.public_id, number=drawn.number)


@require_safe
@for_members
def statement(request: HttpRequest, member: Membership, number: int) -> HttpResponse:
    context = {"member": member, **page(request, found(member.organization, number))}
    return render(request, "console/statement.html", context)


@require_safe
@for_members
def statement_csv(request: HttpRequest, member: Membership, number: int) -> StreamingHttpResponse:
    return as_csv(found(member.organization, number))


@require_safe
@for_members
def statement_as_pdf(request: HttpRequest, member: Membership, number: int) -> HttpResponse:
    return as_pdf(found(member.organization, number))


def may_draw(member: Membership) -> bool:
    return member.role in (Role.OWNER, Role.ADMIN)


def found(organization: Organization, number: int) -> Statement:
    """One of this organization, or a 404."""
    one = statements.of(Statement.objects.filter(organization=organization), number)
    if one is None:
        raise Http404
    return one


def page(request: HttpRequest, one: Statement) -> dict[str, object]:
    """What the page of a statement shows, for members and staff alike."""
    after = request.GET.get("after", "")
    shown = statements.Shown(one)
    lines, following = shown.page(int(after[:9]) if after.isdecimal() else 0)
    return {
        "statement": one,
        "shown": shown,
        "models": shown.models(),
        "lines": [(statements.label(line.section), line) for line in lines],
        "following": following,
        "paged": bool(after or following),
    }


def as_csv(one: Statement) -> StreamingHttpResponse:
    response = StreamingHttpResponse(statements.csv_lines(one), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{statements.name(one)}.csv"'
    return response


def as_pdf(one: Statement) -> HttpResponse:
    response = HttpResponse(statement_pdf.render(one), content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="{statements.name(one)}.pdf"'
    return response
