from django.core.exceptions import ValidationError
from django.db.models import Count, F, Sum
from django.forms import DateField
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from billing.models import ClosedDay, Correction, ProofRun
from billing.proofs import PROOFS, asking, runs
from website.access import signed_in

CLAIMS = {proof.name: proof.claim for proof in PROOFS}
SHOWN = 20


@require_safe
def books(request: HttpRequest) -> HttpResponse:
    """Whether the books are right: the newest run of the proofs, earlier ones, closed days, corrections."""
    differences = F("events__new_charge_nanos") - F("events__old_charge_nanos")
    corrections = Correction.objects.annotate(count=Count("events"), nanos=Sum(differences, default=0))
    context = {
        **_told(runs.newest()),
        "under_way": _under_way(),
        "runs": ProofRun.objects.select_related("asked_by").order_by("-id")[:SHOWN],
        "days": ClosedDay.objects.order_by("-day")[:SHOWN],
        "corrections": corrections.select_related("actor").order_by("-id")[:SHOWN],
    }
    return render(request, "staff/books.html", context)


@require_safe
def proof_run(request: HttpRequest, run: int) -> HttpResponse:
    """One run; while it is under way the page looks again by itself."""
    found = get_object_or_404(ProofRun.objects.select_related("asked_by"), pk=run)
    context = {**_told(found), "under_way": None if found.finished_at else (found, *runs.progress(found))}
    whole = not request.headers.get("HX-Request")
    return render(request, "staff/proof_run.html" if whole else "staff/proof_state.html", context)


@require_POST
def prove(request: HttpRequest) -> HttpResponse:
    """Ask for a run, of everything or of one day."""
    try:
        day = DateField(required=False).clean(request.POST.get("day", ""))
    except ValidationError as error:
        raise Http404("That is no day.") from error
    run = asking.ask(timezone.now(), day=day, actor=signed_in(request))
    return redirect("staff_proof_run", run=run.pk)


def _told(run: ProofRun | None) -> dict[str, object]:
    results = list(run.results.all()) if run else []
    return {"run": run, "results": [(result, CLAIMS.get(result.name, result.name)) for result in results]}


def _under_way() -> tuple[ProofRun, int, int] | None:
    run = ProofRun.objects.filter(finished_at=None).order_by("-id").first()
    return (run, *runs.progress(run)) if run else None
