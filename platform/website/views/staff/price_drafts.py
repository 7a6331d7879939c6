"""A draft of prices: collected, looked at, forecast, published whole or discarded."""

from collections.abc import Callable

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.defaultfilters import pluralize
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from billing.drafts import editing, publishing
from billing.drafts.bulk import Percentage
from billing.forecasting import asking
from billing.forecasting.results import results
from billing.models import Forecast, PriceDraft
from billing.price_rules import PriceError
from website.access import signed_in
from website.draftpage import PAGE, changes
from website.forms.price_drafts import BulkForm, PublishForm
from website.paging import skipped
from website.pricetable import Asked, rows

SHOWN = 50


@require_safe
def draft_list(request: HttpRequest) -> HttpResponse:
    """Everybody's drafts, the newest first."""
    drafts = PriceDraft.objects.select_related("created_by", "closed_by").order_by("-pk")[:SHOWN]
    return render(request, "staff/price_drafts.html", {"drafts": drafts})


@require_safe
def draft_detail(request: HttpRequest, draft: int) -> HttpResponse:
    """What it changes, what that would have meant, and publishing it."""
    return _page(request, _draft(draft), PublishForm(now=timezone.now()))


@require_POST
def bulk_change(request: HttpRequest) -> HttpResponse:
    """A percentage on all that the table shows."""
    asked = Asked.of(request.GET.dict())
    person, now = signed_in(request), timezone.now()
    form = BulkForm(request.POST)
    shown = rows(asked, editing.draft_of(person), now)
    if form.is_valid() and form.cleaned_data["models"] != len(shown):
        form.add_error(None, f"These are {len(shown)} models by now. Look at them again.")
    if not form.is_valid():
        for complaints in form.errors.values():
            messages.error(request, " ".join(map(str, complaints)))
        return redirect(_table(request))
    draft = editing.open_draft(person, now)
    list_id = asked.price_list.pk if asked.price_list else None
    places = [(row.model.pk, list_id) for row in shown if row.wanted.prices]
    try:
        percentage = Percentage(form.cleaned_data["percent"], form.cleaned_data["rounding"], form.meters)
        count = editing.change_all(draft, places, percentage.of, now, revision=form.cleaned_data["revision"])
    except PriceError as error:
        messages.error(request, f"Nothing was changed. {error}")
        return redirect(_table(request))
    messages.success(
        request,
        f"Your draft has new prices of {count} of {len(shown)} model{pluralize(len(shown))}. Nothing is published yet.",
    )
    return redirect("staff_price_draft", draft=draft.pk)


@require_POST
def publish(request: HttpRequest, draft: int) -> HttpResponse:
    found = _draft(draft)
    form = PublishForm(request.POST, now=timezone.now())
    if not form.is_valid():
        return _page(request, found, form)
    count = found.lines.count()
    try:
        starts = publishing.publish(
            found,
            effective_from=form.effective,
            actor=signed_in(request),
            reason=form.cleaned_data["reason"],
            clock=timezone.now,
        )
    except publishing.StaleError as error:
        form.add_error(None, str(error))
        return _page(request, found, form, stale={line.pk for line in error.lines})
    except PriceError as error:
        form.add_error(None, str(error))
        return _page(request, found, form)
    messages.success(request, f"Published: {count} price{pluralize(count)} from {starts:%Y-%m-%d %H:%M:%S} UTC.")
    return redirect("staff_price_draft", draft=found.pk)


@require_POST
def keep(request: HttpRequest, draft: int) -> HttpResponse:
    """What is newer was looked at: the draft goes before it."""
    form = PublishForm({**request.POST.dict(), "reason": "-"}, now=timezone.now())
    at = form.effective if form.is_valid() else None
    done = "The draft stands over what is newer now. Publish it once you have looked at it."
    return _do(request, draft, lambda found: editing.keep_over_newer(found, at or timezone.now(), timezone.now()), done)


@require_POST
def discard(request: HttpRequest, draft: int) -> HttpResponse:
    found = _draft(draft)
    try:
        publishing.discard(found, actor=signed_in(request), now=timezone.now())
    except PriceError as error:
        messages.error(request, str(error))
        return redirect("staff_price_draft", draft=draft)
    messages.success(request, "The draft is discarded. Prices stay as they are.")
    return redirect("staff_prices")


@require_POST
def remove_line(request: HttpRequest, draft: int) -> HttpResponse:
    line = request.POST.get("line", "")
    if not line.isdecimal():
        raise Http404
    out = int(line[:18])
    return _do(request, draft, lambda found: editing.remove(found, out, timezone.now()), "Taken out of the draft.")


@require_POST
def ask_forecast(request: HttpRequest, draft: int) -> HttpResponse:
    """What the draft would have made of the last 30 days, found by a worker."""
    person = signed_in(request)
    return _do(request, draft, lambda found: asking.ask(found, actor=person, now=timezone.now()), "")


@require_POST
def cancel_forecast(request: HttpRequest, draft: int) -> HttpResponse:
    return _do(request, draft, lambda found: asking.cancel(found, timezone.now()), "")


@require_safe
def forecast(request: HttpRequest, draft: int) -> HttpResponse:
    """The newest one, as far as it has come: a part of the draft's page."""
    return render(request, "staff/forecast.html", _forecast(_draft(draft)))


def _page(
    request: HttpRequest, draft: PriceDraft, form: PublishForm, stale: frozenset[int] | set[int] = frozenset()
) -> HttpResponse:
    skip, count = skipped(request), draft.lines.count()
    context = {
        "form": form,
        "changes": changes(draft, stale, skip=skip),
        "count": count,
        "following": skip + PAGE if count > skip + PAGE else None,
        "stale": stale,
        "mine": draft.created_by_id == signed_in(request).pk,
        **_forecast(draft),
    }
    return render(request, "staff/price_draft.html", context)


def _forecast(draft: PriceDraft) -> dict[str, object]:
    newest = Forecast.objects.filter(draft=draft).select_related("asked_by").order_by("-pk").first()
    of_now = newest is not None and newest.revision == draft.revision
    done = newest is not None and newest.state == Forecast.State.DONE
    return {
        "draft": draft,
        "forecast": newest,
        "of_now": of_now,
        "results": results(newest) if newest and done else None,
    }


def _do(request: HttpRequest, draft: int, what: Callable[[PriceDraft], object], done: str) -> HttpResponse:
    try:
        what(_draft(draft))
    except PriceError as error:
        messages.error(request, str(error))
    else:
        if done:
            messages.success(request, done)
    return redirect("staff_price_draft", draft=draft)


def _draft(pk: int) -> PriceDraft:
    return get_object_or_404(PriceDraft.objects.select_related("created_by", "closed_by"), pk=pk)


def _table(request: HttpRequest) -> str:
    query = request.META.get("QUERY_STRING", "")
    return f"/staff/prices/{f'?{query}' if query else ''}"
