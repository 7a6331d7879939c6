from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import prices
from billing.models import PriceVersion
from billing.price_rules import PriceError
from catalog.models import Model
from website.access import signed_in
from website.forms.prices import PriceForm
from website.pricebook import price_book


@require_safe
def price_list(request: HttpRequest) -> HttpResponse:
    """What each model costs now, and what is coming."""
    models = Model.objects.prefetch_related(
        Prefetch("price_versions", PriceVersion.objects.standing().prefetch_related("prices"))
    )
    books = [price_book(model, list(model.price_versions.all()), timezone.now()) for model in models]
    return render(request, "staff/prices.html", {"books": books})


@require_http_methods(["GET", "HEAD", "POST"])
def price_edit(request: HttpRequest, model: int) -> HttpResponse:
    """A model's prices: in force, coming, history, and the form for the next version."""
    priced = get_object_or_404(Model, pk=model)
    now = timezone.now()
    versions = priced.price_versions.prefetch_related("prices").select_related("created_by")
    book = price_book(priced, list(versions), now)
    form = PriceForm(request.POST or None, current=book.in_force, now=now)
    if request.method == "POST" and form.is_valid():
        try:
            version = prices.publish_prices(
                priced,
                form.prices,
                effective_from=form.effective,
                actor=signed_in(request),
                reason=form.cleaned_data["reason"],
                now=now,
            )
        except PriceError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Published: {priced} from {version.effective_from:%Y-%m-%d %H:%M:%S} UTC.")
            return redirect("staff_price", model=priced.pk)
    return render(request, "staff/price.html", {"book": book, "form": form})
