"""Models as staff keep them: which there are, who sees them, and until when they are sold."""

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.models import PriceVersion
from catalog.models import FAMILIES, LifeState, Model, Visibility
from website.paging import address_of, skipped

PAGE = 100
STATES = {
    Visibility.PUBLIC.value: "Public",
    Visibility.HIDDEN.value: "Hidden",
    **{state.value: str(state.label) for state in LifeState},
}


@require_safe
def model_list(request: HttpRequest) -> HttpResponse:
    """By id, as the address asks for."""
    now, skip = timezone.now(), skipped(request)
    chosen = {name: request.GET.get(name, "").strip()[:200] for name in ("q", "family", "state")}
    found = Model.objects.search(chosen["q"])
    if chosen["family"] in FAMILIES:
        found = found.filter(families__contains=chosen["family"])
    if chosen["state"] in STATES:
        found = found.in_state(chosen["state"], now)
    routes = Count("routes", filter=Q(routes__enabled=True, routes__upstream__enabled=True))
    page = list(
        found.select_related("successor").annotate(live_routes=routes).order_by("public_id")[skip : skip + PAGE]
    )
    priced = PriceVersion.objects.in_force(now, None).filter(model_id__in=[model.pk for model in page])
    with_prices = {version.model_id for version in priced.prefetch_related("prices") if version.prices.all()}
    count = found.count()
    context = {
        "rows": [(model, model.state(now), model.pk in with_prices) for model in page],
        "chosen": chosen,
        "address": address_of(chosen),
        "count": count,
        "following": skip + PAGE if count > skip + PAGE else None,
        "families": list(FAMILIES.items()),
        "states": list(STATES.items()),
    }
    return render(request, "staff/models.html", context)
