"""Lines that couldn't be charged: why, which, and what to do about them, one or all of a kind."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.models import QuarantinedLine, QuarantineReason, QuarantineRun
from billing.quarantine import looking, resolving
from billing.quarantine.looking import Kind
from billing.quarantine.replaying import ConfirmationError, ReplayError
from billing.quarantine.runs import start_run
from website.access import signed_in
from website.forms.staff import ReasonForm
from website.forms.usage import ConfirmedForm, LineForm
from website.paging import address_of, page_of

PAGE = 50
SHOWN_BYTES = 300
RUNS = 10
GONE = "Somebody resolved this line already."


@require_safe
def reasons(request: HttpRequest) -> HttpResponse:
    """What waits, by reason, and what is under way."""
    waiting = [(QuarantineReason(reason), count, since) for reason, count, since in looking.reasons()]
    runs = QuarantineRun.objects.select_related("started_by").order_by("-pk")[:RUNS]
    context = {"waiting": waiting, "runs": [(run, QuarantineReason(run.reason).label) for run in runs]}
    context["under_way"] = any(run.finished_at is None for run in runs)
    part = request.headers.get("HX-Request")
    return render(request, "staff/quarantine_live.html" if part else "staff/quarantine.html", context)


@require_safe
def kind(request: HttpRequest, reason: str) -> HttpResponse:
    """Lines that wait for one reason; the address may narrow it to a detail or a source."""
    found = _kind(request.GET, reason)
    page, following = page_of(request, found.open().select_related("segment").order_by("pk"), PAGE, newest_first=False)
    context = {
        "reason": QuarantineReason(reason),
        "kind": found,
        "count": found.open().count(),
        "details": [] if found.detail else looking.details(found),
        "lines": [(line, bytes(line.raw[:SHOWN_BYTES]).decode("utf-8", "replace")) for line in page],
        "following": following,
        "address": address_of({"detail": found.detail, "source": found.source}),
        "confirmed": ConfirmedForm() if reason == QuarantineReason.FOREIGN_ORGANIZATION else None,
        "discarding": ReasonForm(),
    }
    return render(request, "staff/quarantine_kind.html", context)


@require_POST
def replay_kind(request: HttpRequest, reason: str) -> HttpResponse:
    """Replay all of a kind, by a worker."""
    return _start(request, reason, QuarantineRun.Action.REPLAY)


@require_POST
def discard_kind(request: HttpRequest, reason: str) -> HttpResponse:
    """Discard all of a kind, by a worker; with a reason."""
    form = ReasonForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Say why these lines are discarded.")
        return redirect(_kind_address(_kind(request.POST, reason)))
    return _start(request, reason, QuarantineRun.Action.DISCARD, note=form.cleaned_data["reason"])


@require_http_methods(["GET", "HEAD", "POST"])
def line(request: HttpRequest, line: int) -> HttpResponse:
    """One line: looked at, or replayed as a person corrected it."""
    found = get_object_or_404(QuarantinedLine.objects.select_related("segment", "replay"), pk=line)
    text = bytes(found.raw).decode("utf-8", "replace")
    form = LineForm(request.POST or None, initial={"text": text})
    foreign = found.reason == QuarantineReason.FOREIGN_ORGANIZATION
    # Twice on the page: each form has its own.
    confirmed = ConfirmedForm(request.POST or None, auto_id="corrected_%s") if foreign else None
    if request.method == "POST" and form.is_valid() and (confirmed is None or confirmed.is_valid()):
        return _replay(request, found, text=form.cleaned_data["text"].encode(), note=form.cleaned_data["note"])
    context = {
        "line": found,
        "reason": QuarantineReason(found.reason),
        "text": text,
        "form": form,
        "confirmed": confirmed,
        "confirmed_as_is": ConfirmedForm() if foreign else None,
        "discarding": ReasonForm(),
    }
    return render(request, "staff/quarantine_line.html", context)


@require_POST
def replay_line(request: HttpRequest, line: int) -> HttpResponse:
    """As it is."""
    return _replay(request, get_object_or_404(QuarantinedLine.objects.select_related("segment"), pk=line))


@require_POST
def discard_line(request: HttpRequest, line: int) -> HttpResponse:
    found = get_object_or_404(QuarantinedLine.objects.select_related("segment"), pk=line)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Say why this line is discarded.")
        return redirect("staff_quarantined_line", line=found.pk)
    reason = form.cleaned_data["reason"]
    if resolving.discard_line(found, actor=signed_in(request), reason=reason, now=timezone.now()):
        messages.success(request, "The line is discarded. Nothing is charged for it.")
    else:
        messages.info(request, GONE)
    return redirect("staff_quarantine_kind", reason=found.reason)


def _replay(request: HttpRequest, line: QuarantinedLine, *, text: bytes | None = None, note: str = "") -> HttpResponse:
    try:
        replay = resolving.replay_line(
            line,
            actor=signed_in(request),
            now=timezone.now(),
            text=text,
            note=note,
            foreign_allowed=ConfirmedForm(request.POST).is_valid(),
        )
    except ConfirmationError:
        messages.error(request, "Confirm that the sender was right, or change the line.")
        return redirect("staff_quarantined_line", line=line.pk)
    except ReplayError as error:
        messages.error(request, str(error))
        return redirect("staff_quarantined_line", line=line.pk)
    if replay is None:
        messages.info(request, GONE)
        return redirect("staff_quarantined_line", line=line.pk)
    messages.success(request, "The line is replayed. Here you see what becomes of it.")
    return redirect("staff_segment", segment=replay.pk)


def _start(request: HttpRequest, reason: str, action: QuarantineRun.Action, *, note: str = "") -> HttpResponse:
    found = _kind(request.POST, reason)
    try:
        run = start_run(
            found,
            action,
            actor=signed_in(request),
            now=timezone.now(),
            note=note,
            foreign_allowed=ConfirmedForm(request.POST).is_valid(),
        )
    except ConfirmationError:
        messages.error(request, "Confirm that the sender was right before its lines are charged.")
        return redirect(_kind_address(found))
    if run is None:
        messages.info(request, "Nothing of this kind waits any more, or somebody resolves it already.")
    return redirect("staff_quarantine")


def _kind(asked: dict[str, str], reason: str) -> Kind:
    if reason not in QuarantineReason:
        raise Http404("There is no such reason.")
    # PostgreSQL's texts have no NUL, so nothing is of such a kind.
    if "\0" in asked.get("detail", "") + asked.get("source", ""):
        raise Http404("There is no such kind.")
    return Kind(reason, asked.get("detail", "")[:300], asked.get("source", "")[:80])


def _kind_address(kind: Kind) -> str:
    address = address_of({"detail": kind.detail, "source": kind.source})
    return reverse("staff_quarantine_kind", kwargs={"reason": kind.reason}) + (f"?{address}" if address else "")
