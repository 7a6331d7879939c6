from datetime import date, timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from billing.models import NightlyRun, NightlyStep
from billing.nightly import running
from billing.nightly.registry import STEPS
from website.access import signed_in

CLAIMS = {step.name: step.claim for step in STEPS}
ORDER = {step.name: number for number, step in enumerate(STEPS)}
SHOWN = 31
MINUTE = timedelta(minutes=1)


@require_safe
def runs(request: HttpRequest) -> HttpResponse:
    """The newest night with its steps, and the nights before."""
    nights = list(NightlyRun.objects.order_by("-night").prefetch_related("steps")[:SHOWN])
    context = {"nights": [(night, _steps(night)) for night in nights], **(_told(nights[0]) if nights else {})}
    return _render(request, "staff/nightly.html", context)


@require_safe
def run(request: HttpRequest, night: str) -> HttpResponse:
    """One night; while it isn't done the page looks again by itself."""
    return _render(request, "staff/nightly_run.html", _told(_found(night)))


@require_POST
def again(request: HttpRequest, night: str, step: str) -> HttpResponse:
    """Do a step once more; it does nothing twice."""
    found = get_object_or_404(NightlyStep.objects.select_related("run"), run=_found(night), name=step)
    running.ask_again(found, actor=signed_in(request), now=timezone.now())
    messages.success(request, f"{step} of {night} is done again as soon as a worker has time.")
    return redirect("staff_nightly_run", night=night)


def _render(request: HttpRequest, page: str, context: dict[str, object]) -> HttpResponse:
    part = request.headers.get("HX-Request") and "run" in context
    return render(request, "staff/nightly_state.html" if part else page, context)


def _found(night: str) -> NightlyRun:
    try:
        return get_object_or_404(NightlyRun, night=date.fromisoformat(night))
    except ValueError:
        raise Http404("That is no day.") from None


def _told(run: NightlyRun) -> dict[str, object]:
    done, total = running.progress(run)
    return {
        "run": run,
        "steps": [(step, CLAIMS.get(step.name, step.name), _took(step)) for step in _steps(run)],
        "done": done,
        "total": total,
    }


def _steps(run: NightlyRun) -> list[NightlyStep]:
    return sorted(run.steps.all(), key=lambda step: ORDER.get(step.name, len(ORDER)))


def _took(step: NightlyStep) -> str:
    """How long it took, in words; empty where it isn't done."""
    if not step.started_at or not step.finished_at:
        return ""
    took = step.finished_at - step.started_at
    if took < MINUTE:
        return f"{took / timedelta(seconds=1):.1f} s"
    return f"{took // MINUTE} min {took % MINUTE // timedelta(seconds=1)} s"
