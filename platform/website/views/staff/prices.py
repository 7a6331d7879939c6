"""What models cost: the table that is edited in place, and one model with tiers, variants, times and history."""

from typing import cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing import prices
from billing.drafts import editing
from billing.drafts.versions import Wanted, wanted_of_line, wanted_of_version
from billing.models import PriceDraft, PriceList, PriceVersion
from billing.price_rules import PriceError
from billing.tariff import UnitPrice
from catalog.models import FAMILIES, Model
from website import money
from website.access import signed_in
from website.forms.price_drafts import BulkForm
from website.forms.prices import PriceForm
from website.paging import address_of
from website.pricebook import price_book
from website.pricetable import COLUMNS, MILLION, SORTS, STATES, Asked, Cell, rows, rows_of, typed


@require_safe
def price_list(request: HttpRequest) -> HttpResponse:
    """What each model costs now, what is coming, and what my draft changes."""
    asked = Asked.of(request.GET.dict())
    draft = editing.draft_of(signed_in(request))
    shown = rows(asked, draft, timezone.now())
    context = {
        "rows": shown,
        "asked": asked,
        "address": address_of(asked.parameters),
        "draft": draft,
        "drafted": draft.lines.count() if draft else 0,
        "lists": PriceList.objects.all(),
        "columns": list(COLUMNS.values()),
        "families": list(FAMILIES.items()),
        "states": list(STATES.items()),
        "sorts": list(SORTS.items()),
        "bulk": BulkForm(initial={"models": len(shown)}),
    }
    return render(request, "staff/prices.html", context)


@require_POST
def price_cells(request: HttpRequest, model: int) -> HttpResponse:
    """A row as it was typed, into my draft. htmx sends a row for each cell that changed, and gets that cell."""
    priced = get_object_or_404(Model, pk=model)
    asked = Asked.of(request.GET.dict())
    person, now = signed_in(request), timezone.now()
    draft = editing.open_draft(person, now)
    trigger = request.headers.get("HX-Trigger-Name", "")
    complaints = {
        meter: _put(draft, priced, asked.price_list, meter, request.POST[f"amount_{meter}"])
        for meter in COLUMNS
        if f"amount_{meter}" in request.POST and trigger in ("", f"amount_{meter}")
    }
    if trigger.removeprefix("amount_") in complaints:
        (row,) = rows_of([priced], asked.price_list, draft, now)
        meter = trigger.removeprefix("amount_")
        found = next(cell for cell in row.cells if cell.meter == meter)
        if complaints[meter]:
            found = Cell(meter, found.label, request.POST[trigger], found.was, error=complaints[meter])
        address = address_of(asked.parameters)
        context = {"row": row, "cell": found, "draft": draft, "drafted": draft.lines.count(), "address": address}
        return render(request, "staff/price_cell_answer.html", context)
    for meter, complaint in complaints.items():
        if complaint:
            messages.error(request, f"{COLUMNS[meter]} of {priced}: {complaint}")
    address = address_of(asked.parameters)
    return redirect(f"/staff/prices/{f'?{address}' if address else ''}#row-{priced.pk}")


def _put(draft: PriceDraft, model: Model, price_list: PriceList | None, meter: str, text: str) -> str:
    """Put a price per million into a draft; what is wrong with it."""

    def how(wanted: Wanted) -> Wanted:
        before = wanted.plain.get(meter)
        # As it was, also where that is said per other units.
        if text.strip() == typed(before):
            return wanted
        if not text.strip():
            return wanted.without_price(cast(UnitPrice, before))
        return wanted.with_price(UnitPrice(meter, money.parse(text), MILLION))

    try:
        editing.change(draft, (model.pk, price_list.pk if price_list else None), how, timezone.now())
    except (PriceError, money.NotAnAmount) as error:
        return str(error).removeprefix(f"{model}: ")
    return ""


@require_http_methods(["GET", "HEAD", "POST"])
def price_edit(request: HttpRequest, model: int) -> HttpResponse:
    """A model's prices: in force, coming, history, and the form for the next version."""
    priced = get_object_or_404(Model.objects.select_related("successor"), pk=model)
    asked = Asked.of(request.GET.dict())
    person, now = signed_in(request), timezone.now()
    versions = priced.price_versions.of_list(asked.price_list).prefetch_related("prices").select_related("created_by")
    book = price_book(priced, list(versions), now)
    draft = editing.draft_of(person)
    line = draft.lines.filter(model=priced, price_list=asked.price_list).first() if draft else None
    to_draft = request.POST.get("do") == "draft"
    form = PriceForm(
        request.POST or None,
        current=wanted_of_line(line) if line else wanted_of_version(book.in_force),
        now=now,
        own_list=asked.price_list is not None,
        to_draft=to_draft,
    )
    if request.method == "POST" and form.is_valid():
        try:
            if to_draft:
                place = (priced.pk, asked.price_list.pk if asked.price_list else None)
                draft = editing.open_draft(person, now)
                editing.put(draft, {place: form.wanted}, now)
                messages.success(request, f"{priced}: in your draft. Nothing changes before it is published.")
                return redirect("staff_price_draft", draft=draft.pk)
            version = _publish(request, priced, asked.price_list, form)
        except PriceError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Published: {priced} from {version.effective_from:%Y-%m-%d %H:%M:%S} UTC.")
            return redirect(request.get_full_path())
    context = {
        "book": book,
        "form": form,
        "asked": asked,
        "line": line,
        "lists": PriceList.objects.all(),
        "routes": priced.routes.select_related("upstream"),
        "state": priced.state(now),
    }
    return render(request, "staff/price.html", context)


def _publish(request: HttpRequest, model: Model, price_list: PriceList | None, form: PriceForm) -> PriceVersion:
    return prices.publish_prices(
        model,
        form.wanted.prices,
        effective_from=form.effective,
        actor=signed_in(request),
        reason=form.cleaned_data["reason"],
        now=timezone.now(),
        price_list=price_list,
        off_peak=form.wanted.off_peak,
    )
