from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from accounts.models import Membership, Organization, Role
from billing.models import Statement, StatementOrder
from billing.statements import asking
from billing.statements.drawing import DrawingError
from website import statement_pdf, statements
from website.access import for_members

SHOWN = 60


@require_safe
@for_members
def statement_list(request: HttpRequest, member: Membership) -> HttpResponse:
    """The newest first; five years of months are on one page."""
    newest = StatementOrder.objects.filter(organization=member.organization).order_by("-pk").first()
    return _list(request, member, None if newest and newest.is_finished else newest)


@for_members
@require_POST
def statement_draw(request: HttpRequest, member: Membership) -> HttpResponse:
    """One on demand: a worker draws it, and the page that one comes to waits for that."""
    if not may_draw(member):
        raise PermissionDenied("Only owners and admins have statements drawn.")
    try:
        order = asking.ask(member.organization, now=timezone.now(), actor=member.user)
    except DrawingError as error:
        messages.error(request, str(error))
        return redirect("statements", org=member.organization.public_id)
    return redirect("statement_order", org=member.organization.public_id, order=order.pk)


@require_safe
@for_members
def statement_order(request: HttpRequest, member: Membership, order: int) -> HttpResponse:
    """One that is being drawn: the page looks again by itself, and goes on to the statement once that is there."""
    orders = StatementOrder.objects.filter(organization=member.organization).select_related("statement")
    one = get_object_or_404(orders, pk=order)
    if one.statement is None:
        whole = not request.headers.get("HX-Request")
        return _list(request, member, one) if whole else _state(request, member, one)
    address = reverse("statement", args=[member.organization.public_id, one.statement.number])
    return HttpResponseClientRedirect(address) if request.headers.get("HX-Request") else redirect(address)


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


def _list(request: HttpRequest, member: Membership, order: StatementOrder | None) -> HttpResponse:
    statements = Statement.objects.filter(organization=member.organization).order_by("-number")
    context = {
        "member": member,
        "statements": statements[:SHOWN],
        "may_draw": may_draw(member),
        "through": asking.last_closed_day(timezone.now()),
        "order": order,
    }
    return render(request, "console/statements.html", context)


def _state(request: HttpRequest, member: Membership, order: StatementOrder) -> HttpResponse:
    return render(request, "console/statement_order.html", {"member": member, "order": order})


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
