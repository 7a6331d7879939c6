"""Models and prices, for everybody: as pages and as JSON."""

import orjson
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.pricing import described
from catalog.models import FAMILIES, Model, Visibility
from website import catalogue
from website.open_json import for_everybody
from website.throttle import throttled

# Kept for each state of the catalogue.
MOST_TABLES = 50


@require_safe
def model_list(request: HttpRequest) -> HttpResponse:
    """Searched, filtered by kind and sorted by the address."""
    found = catalogue.catalogue(timezone.now())
    query, family, sort = (request.GET.get(name, "").strip()[:200] for name in ("q", "family", "sort"))
    family = family if family in FAMILIES else ""
    sort = sort if sort in catalogue.SORTS else "model"
    asked = (query, family, sort)
    models = found.found(*asked)
    if asked not in found.tables and len(found.tables) < MOST_TABLES:
        found.tables[asked] = render_to_string("public/models_table.html", {"models": models})
    context = {
        "models": models,
        "table": found.tables.get(asked),
        "all": len(found.models),
        "aliases": [] if query or family else found.aliases,
        "query": query,
        "family": family,
        "sort": sort,
        "families": list(FAMILIES.items()),
        "sorts": list(catalogue.SORTS.items()),
    }
    return render(request, "public/models.html", context)


@require_safe
def model_detail(request: HttpRequest, model: str) -> HttpResponse:
    """One model: prices by meter, tiers, limits, a snippet, what it cost before."""
    now = timezone.now()
    found = catalogue.catalogue(now)
    listed = found.by_id.get(model)
    if listed is None:
        return _gone(request, model)
    context = {
        "listed": listed,
        "model": listed.model.public_id,
        "families": catalogue.families_of(listed.model),
        "history": catalogue.history(listed.model, now),
        "aliases": found.aliases_of(model),
    }
    return render(request, "public/model.html", context)


@require_safe
@throttled
def model_list_json(request: HttpRequest) -> HttpResponse:
    return for_everybody(request, catalogue.catalogue(timezone.now()).json)


@require_safe
@throttled
def model_json(request: HttpRequest, model: str) -> HttpResponse:
    now = timezone.now()
    listed = catalogue.catalogue(now).by_id.get(model)
    if listed is None:
        answer = HttpResponse(orjson.dumps({"error": f"There is no model {model[:200]}."}), "application/json", 404)
        answer["Access-Control-Allow-Origin"] = "*"
        return answer
    before = [
        {"from": catalogue.written(one.starts), "pricing": described(one.tariff)}
        for one in catalogue.history(listed.model, now)
    ]
    return for_everybody(request, orjson.dumps({**listed.described(), "history": before}))


def _gone(request: HttpRequest, model: str) -> HttpResponse:
    """What was shut down says so and what to use instead; nothing else is told from what never was."""
    now = timezone.now()
    known = Model.objects.filter(public_id=model, visibility=Visibility.PUBLIC, enabled=True, shut_down_at__lte=now)
    found = known.select_related("successor").first()
    if found is None:
        raise Http404
    return render(request, "public/model_gone.html", {"gone": found}, status=410)
