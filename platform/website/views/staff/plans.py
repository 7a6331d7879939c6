"""Plans as staff keep them: what is offered, its versions, who has it."""

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Organization
from billing.models import Balance, Plan, PlanVersion, Subscription
from billing.plans import choosing, ending, offering
from billing.plans.errors import PlanError
from billing.plans.quoting import quote, quotes
from hotstate.errors import Unreachable
from website import plan_standing
from website.access import signed_in
from website.forms.staff import ReasonForm
from website.forms.staff_plans import GivePlanForm, NewPlanForm, PlanForm, VersionForm, as_typed

PAGE = 50
LIVE = Count("subscriptions", filter=Q(subscriptions__ended_at=None))
LATER = "Done. The gateways can't be reached at this moment; they will know as soon as they can."


@require_safe
def plan_list(request: HttpRequest) -> HttpResponse:
    subscribers = Count("versions__subscriptions", filter=Q(versions__subscriptions__ended_at=None))
    plans = Plan.objects.annotate(subscribers=subscribers).order_by("archived_at", "name")
    newest = {version.plan_id: version for version in PlanVersion.objects.order_by("plan_id", "number")}
    return render(request, "staff/plans.html", {"rows": [(plan, newest.get(plan.pk)) for plan in plans]})


@require_http_methods(["GET", "HEAD", "POST"])
def plan_create(request: HttpRequest) -> HttpResponse:
    form = NewPlanForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            offering.create_plan(
                data["slug"],
                data["name"],
                form.offer,
                description=data["description"],
                public=data["public"],
                actor=signed_in(request),
                reason=data["reason"],
                now=timezone.now(),
            )
        except PlanError as error:
            form.add_error("slug", str(error))
        else:
            messages.success(request, f"{data['name']} is there.")
            return redirect("staff_plan", slug=data["slug"])
    return render(request, "staff/plan_create.html", {"form": form})


@require_http_methods(["GET", "HEAD", "POST"])
def plan_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """Its versions and who has each; a POST changes what people read."""
    plan = get_object_or_404(Plan, slug=slug)
    told = {"name": plan.name, "description": plan.description, "public": plan.public}
    form = PlanForm(request.POST or None, initial=told)
    if request.method == "POST" and form.is_valid():
        offering.describe(plan, **form.cleaned_data, actor=signed_in(request), now=timezone.now())
        messages.success(request, "Saved.")
        return redirect("staff_plan", slug=slug)
    versions = plan.versions.annotate(subscribers=LIVE).select_related("created_by", "price_list", "plan")
    after = request.GET.get("after", "")
    having = Subscription.objects.current().filter(version__plan=plan).select_related("organization", "version")
    if after.isdecimal():
        having = having.filter(pk__gt=int(after[:18]))
    page = list(having.order_by("pk")[: PAGE + 1])
    context = {
        "plan": plan,
        "form": form,
        "versions": [(version, plan_standing.limits_of(version)) for version in versions],
        "subscriptions": page[:PAGE],
        "following": page[PAGE - 1].pk if len(page) > PAGE else None,
    }
    return render(request, "staff/plan.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def plan_version(request: HttpRequest, slug: str) -> HttpResponse:
    """What the plan offers from now on, begun from what it offers."""
    plan = get_object_or_404(Plan, slug=slug)
    form = VersionForm(request.POST or None, initial=as_typed(plan.versions.order_by("-number").first()))
    if request.method == "POST" and form.is_valid():
        reason = form.cleaned_data["reason"]
        offering.add_version(plan, form.offer, actor=signed_in(request), reason=reason, now=timezone.now())
        messages.success(request, "The new version is offered. Who has an earlier one keeps it.")
        return redirect("staff_plan", slug=slug)
    return render(request, "staff/plan_version.html", {"plan": plan, "form": form})


@require_http_methods(["GET", "HEAD", "POST"])
def plan_archive(request: HttpRequest, slug: str) -> HttpResponse:
    """Offer a plan to nobody new, or again."""
    plan = get_object_or_404(Plan, slug=slug)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        archived, reason = plan.archived_at is None, form.cleaned_data["reason"]
        offering.archive(plan, archived=archived, actor=signed_in(request), reason=reason, now=timezone.now())
        messages.success(request, f"{plan.name} is {'archived' if archived else 'offered again'}.")
        return redirect("staff_plan", slug=slug)
    subscribers = Subscription.objects.current().filter(version__plan=plan).count()
    return render(request, "staff/plan_archive.html", {"plan": plan, "form": form, "subscribers": subscribers})


@require_http_methods(["GET", "HEAD", "POST"])
def organization_plan(request: HttpRequest, org: str) -> HttpResponse:
    """Subscribe an organization, or change what it has: also to private plans. `?plan=` shows what that costs now."""
    organization = get_object_or_404(Organization, public_id=org)
    now, actor = timezone.now(), signed_in(request)
    offered = plan_standing.offered(public=False)
    form = GivePlanForm(request.POST or None, initial={"plan": request.GET.get("plan", "")})
    form.fields["plan"].queryset = offered  # type: ignore[attr-defined]
    if request.method == "POST" and form.is_valid():
        version, reason = form.cleaned_data["plan"], form.cleaned_data["reason"]
        try:
            if form.cleaned_data["when"] == "end":
                choosing.choose_at_end(organization, version, actor=actor, reason=reason, now=now)
            else:
                choosing.choose(organization, version, actor=actor, reason=reason, now=now)
            messages.success(request, f"{organization}: {version.plan.name}.")
            return redirect("staff_organization", org=org)
        except PlanError as error:
            form.add_error(None, str(error))
        except Unreachable:
            messages.warning(request, LATER)
            return redirect("staff_organization", org=org)
    balance = Balance.objects.filter(organization=organization).first()
    context = {
        "organization": organization,
        "form": form,
        "rows": quotes(organization, offered[:PAGE], at=now),
        "balance_nanos": balance.nanos if balance else 0,
    }
    return render(request, "staff/organization_plan.html", {**context, "standing": plan_standing.of(organization)})


@require_http_methods(["GET", "HEAD", "POST"])
def organization_plan_end(request: HttpRequest, org: str) -> HttpResponse:
    """End an organization's plan now; what isn't used comes back."""
    organization = get_object_or_404(Organization, public_id=org)
    now = timezone.now()
    standing = plan_standing.of(organization)
    if standing is None:
        return redirect("staff_organization", org=org)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            ending.cancel_now(organization, actor=signed_in(request), reason=form.cleaned_data["reason"], now=now)
            messages.success(request, f"The plan of {organization} has ended.")
            return redirect("staff_organization", org=org)
        except PlanError as error:
            form.add_error(None, str(error))
        except Unreachable:
            messages.warning(request, LATER)
            return redirect("staff_organization", org=org)
    context = {"organization": organization, "form": form, "standing": standing}
    context["offer"] = quote(organization, None, at=now)
    return render(request, "staff/organization_plan_end.html", context)
