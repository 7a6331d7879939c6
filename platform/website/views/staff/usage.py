"""Usage as it comes in: who sends it, what is missing of it, what became of each segment."""

from datetime import datetime

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing.lapsed import explain_lapsed
from billing.models import QuarantinedLine, Segment, SequenceGap, UsageSource
from billing.quarantine import looking
from billing.sequences import LASTING, explain_gap
from hotstate.models import LapsedHold
from website.access import signed_in
from website.forms.usage import ExplanationForm
from website.paging import address_of, page_of

PAGE = 100
SHOWN = 50
STATES = {
    "waiting": Q(posted_at=None),
    "posted": Q(posted_at__isnull=False),
    "quarantined": Q(quarantined__gt=0),
}


@require_safe
def usage_sources(request: HttpRequest) -> HttpResponse:
    """Sources with how far they are, and what is missing: gaps in their numbers, holds that lapsed without an event."""
    now = timezone.now()
    sources = UsageSource.objects.select_related("last_segment").annotate(
        open_gaps=Count("gaps", filter=Q(gaps__filled_at=None, gaps__explained_at=None))
    )
    gaps = SequenceGap.objects.open().select_related("source").order_by("-found_at", "-pk")
    lapsed = LapsedHold.objects.open().order_by("-lapsed_at", "-pk")
    context = {
        "sources": sources.order_by("-last_received_at")[:PAGE],
        "gaps": [(gap, gap.last - gap.first + 1, _lasts(gap.found_at, now)) for gap in gaps[:SHOWN]],
        "gaps_in_all": gaps.count(),
        "lapsed": lapsed[:SHOWN],
        "lapsed_in_all": lapsed.count(),
        "waiting": Segment.objects.unposted().count(),
        "quarantined": QuarantinedLine.objects.open().count(),
    }
    return render(request, "staff/usage.html", context)


@require_safe
def segments(request: HttpRequest) -> HttpResponse:
    """Segments, the newest first, as the address asks for."""
    chosen = {name: request.GET.get(name, "").strip()[:200] for name in ("source", "segment", "state")}
    found = Segment.objects.order_by("-pk")
    if chosen["source"]:
        found = found.filter(source=chosen["source"])
    if chosen["segment"]:
        found = found.filter(identity__startswith=chosen["segment"])
    if chosen["state"] in STATES:
        found = found.filter(STATES[chosen["state"]])
    page, following = page_of(request, found, PAGE, newest_first=True)
    context = {"segments": page, "following": following, "chosen": chosen, "address": address_of(chosen)}
    return render(request, "staff/segments.html", context)


@require_safe
def segment(request: HttpRequest, segment: int) -> HttpResponse:
    """One segment: what came with it, and what became of it."""
    found = get_object_or_404(Segment, pk=segment)
    numbers = list(zip(found.seq_ranges[::2], found.seq_ranges[1::2], strict=True))
    context = {
        "segment": found,
        "numbers": numbers[:20],
        "more_numbers": max(0, len(numbers) - 20),
        "reasons": looking.named(looking.reasons_of(found)),
        "lines": found.quarantined_lines.order_by("line")[:SHOWN],
    }
    return render(request, "staff/segment.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def gap_explain(request: HttpRequest, gap: int) -> HttpResponse:
    found = get_object_or_404(SequenceGap.objects.select_related("source"), pk=gap)
    form = ExplanationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        explanation = form.cleaned_data["explanation"]
        if explain_gap(found, explanation, actor=signed_in(request), now=timezone.now()):
            messages.success(request, f"The gap {found.first} to {found.last} of {found.source} is explained.")
        else:
            messages.info(request, "That gap is closed already.")
        return redirect("staff_usage")
    context = {"missing": found, "came_at": found.filled_at, "form": form}
    return render(request, "staff/gap_explain.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def lapsed_explain(request: HttpRequest, hold: int) -> HttpResponse:
    found = get_object_or_404(LapsedHold, pk=hold)
    form = ExplanationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        explanation = form.cleaned_data["explanation"]
        if explain_lapsed(found, explanation, actor=signed_in(request), now=timezone.now()):
            messages.success(request, f"The hold of {found.request_id} is explained.")
        else:
            messages.info(request, "That hold is explained or charged already.")
        return redirect("staff_usage")
    context = {"missing": found, "came_at": found.posted_at, "form": form}
    return render(request, "staff/lapsed_explain.html", context)


def _lasts(since: datetime, now: datetime) -> bool:
    return since < now - LASTING
