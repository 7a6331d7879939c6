"""Prices as CSV: out as the table shows them, in by way of a draft, and a look at it before."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing.drafts import editing
from billing.drafts.versions import versions_at, wanted_of_line, wanted_of_version
from billing.models import PriceList
from billing.price_rules import PriceError
from catalog.models import Model
from website import pricesheet
from website.access import signed_in
from website.draftpage import differences
from website.forms.price_drafts import SheetForm
from website.pricetable import Asked, rows


@require_safe
def export(request: HttpRequest) -> StreamingHttpResponse:
    """What the table shows, with my draft's prices where it has some."""
    asked = Asked.of(request.GET.dict())
    shown = rows(asked, editing.draft_of(signed_in(request)), timezone.now())
    answer = StreamingHttpResponse(pricesheet.lines(shown, asked.price_list), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="prices.csv"'
    return answer


@require_http_methods(["GET", "HEAD", "POST"])
def import_sheet(request: HttpRequest) -> HttpResponse:
    """Check a file; what it would change is shown, and put into my draft only then."""
    form = SheetForm(request.POST or None, request.FILES or None)
    context: dict[str, object] = {"form": form}
    if request.method != "POST" or not form.is_valid():
        return render(request, "staff/price_import.html", context)
    text = form.cleaned_data["text"]
    sheet = pricesheet.read(text)
    context["sheet"] = sheet
    # What was uploaded is there to be mended.
    context["form"] = SheetForm(initial={"text": text})
    if sheet.mistakes:
        return render(request, "staff/price_import.html", context)
    person, now = signed_in(request), timezone.now()
    draft = editing.draft_of(person)
    before = {place: wanted_of_version(version) for place, version in versions_at(now).items()}
    lines = draft.lines.all() if draft else []
    drafted = before | {(line.model_id, line.price_list_id): wanted_of_line(line) for line in lines}
    wanted = pricesheet.wanted(sheet, drafted)
    if request.POST.get("do") == "put":
        draft = editing.open_draft(person, now)
        try:
            count = editing.put(draft, wanted, now)
        except PriceError as error:
            messages.error(request, f"Nothing was changed. {error}")
            return redirect("staff_price_import")
        messages.success(request, f"Your draft has new prices of {count} models. Nothing is published yet.")
        return redirect("staff_price_draft", draft=draft.pk)
    names, lists = Model.objects.in_bulk([model for model, _ in wanted]), PriceList.objects.in_bulk()
    changed = [
        (names[place[0]], lists.get(place[1] or 0), differences(drafted.get(place, pricesheet.NOTHING), new))
        for place, new in wanted.items()
    ]
    context["changed"] = sorted((one for one in changed if one[2]), key=lambda one: one[0].public_id)
    context["same"] = len(changed) - len(context["changed"])  # type: ignore[arg-type]
    return render(request, "staff/price_import.html", context)
