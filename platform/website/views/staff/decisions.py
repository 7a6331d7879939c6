from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing.models import UsageEvent
from hotstate import decision_log
from hotstate.errors import Unreachable
from website.explaining import explain
from website.forms.decisions import RequestIdForm


@require_safe
def explained(request: HttpRequest) -> HttpResponse:
    """Any organization's request, also one whose key nobody knows; its receipt, once it is posted."""
    form = RequestIdForm(request.GET if "id" in request.GET else None)
    context: dict[str, object] = {"form": form}
    if form.is_bound and form.is_valid():
        try:
            record = decision_log.find(form.cleaned_data["id"])
        except Unreachable:
            context["away"] = True
        else:
            context |= {"told": explain(record) if record else None, "missing": record is None}
        context["event"] = UsageEvent.objects.select_related("organization").filter(pk=form.cleaned_data["id"]).first()
    return render(request, "staff/explain.html", context)
