from contextlib import suppress
from datetime import timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts import keys
from accounts.models import ApiKey, Membership
from billing import secret_use, usage
from gateway.asking.endpoints import ALL_SCOPES
from hotstate.errors import Unreachable
from website import rotation, standing
from website.access import for_members, for_writers
from website.explorer import Explorer
from website.forms.key_terms import ChangeKeyForm, KeyForm
from website.forms.keys import RevokeForm, RotateForm
from website.key_list import CURRENT_SECRET, STATES, KeyList
from website.views.shown_once import already_shown, show_once

RECENT = 20


@require_safe
@for_members
def key_list(request: HttpRequest, member: Membership) -> HttpResponse:
    now, listing = timezone.now(), KeyList.of(member.organization, request.GET)
    page, following = listing.page(now)
    last_used = secret_use.last_used(key.pk for key in page)
    spend = usage.spend_by_key(page, since=now - timedelta(days=29))
    rows = [(key, key.state(now), last_used.get(key.pk), *spend.get(key.pk, (0, 0))) for key in page]
    active = [key for key, state, *_ in rows if state == "active"]
    context = {
        "member": member,
        "listing": listing,
        "rows": rows,
        "following": following,
        "has_keys": bool(rows) or member.organization.api_keys.exists(),
        "states": STATES,
        "scopes": ALL_SCOPES,
        "budgets": standing.tightest(member.organization, active, now),
    }
    return render(request, "console/keys.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@for_writers
def key_create(request: HttpRequest, member: Membership) -> HttpResponse:
    form = KeyForm(request.POST or None, now=timezone.now())
    if request.method == "POST" and form.is_valid():
        made_by = {"actor": member.user, "now": form.now, "operation_id": form.cleaned_data["operation_id"]}
        try:
            key, secret = keys.create_key(member.organization, **vars(form.terms), **made_by)
        except keys.AlreadyCreated as made:
            return already_shown(request, made.key)
        return show_once(request, member, key, secret)
    return render(request, "console/key_create.html", {"member": member, "form": form})


@require_safe
@for_members
def key_detail(request: HttpRequest, member: Membership, key: str) -> HttpResponse:
    api_key = _key(member, key)
    now = timezone.now()
    events, more = Explorer(member.organization, key=api_key).page(size=RECENT)
    spend = usage.spend_by_key([api_key], since=now - timedelta(days=29))
    context = {
        "member": member,
        "key": api_key,
        "state": api_key.state(now),
        "events": events,
        "more": more,
        "spend": spend.get(api_key.pk, (0, 0)),
        "scopes": ALL_SCOPES,
        "secrets": rotation.rows(api_key, now),
        "standing": standing.shown(api_key, now),
    }
    return render(request, "console/key.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@for_writers
def key_change(request: HttpRequest, member: Membership, key: str) -> HttpResponse:
    api_key = _key(member, key)
    now = timezone.now()
    form = ChangeKeyForm(request.POST or None, key=api_key, now=now)
    if request.method == "POST" and form.is_valid():
        seen = form.cleaned_data["version"]
        try:
            changed = keys.change_key(api_key, form.terms, seen_version=seen, actor=member.user, now=now)
        except keys.NotChanged as error:
            if error.key.revoked_at:
                return redirect("key_change", org=member.organization.public_id, key=key)
            form.show_again(error.key)
        except Unreachable:
            messages.warning(request, f"“{form.cleaned_data['name']}” is changed, but the gateways don't know yet.")
            return redirect(api_key)
        else:
            messages.success(request, "Saved, and in force at every gateway." if changed else "Nothing was different.")
            return redirect(api_key)
    return render(request, "console/key_change.html", {"member": member, "key": api_key, "form": form})


@require_http_methods(["GET", "HEAD", "POST"])
@for_writers
def key_rotate(request: HttpRequest, member: Membership, key: str) -> HttpResponse:
    api_key = _key(member, key)
    current = api_key.secrets.all()[0]
    form = RotateForm(request.POST or None, initial={"replacing": current.public_id})
    if request.method == "POST" and form.is_valid():
        try:
            secret = keys.rotate_key(
                api_key,
                replacing=form.cleaned_data["replacing"],
                overlap=form.overlap_time,
                actor=member.user,
                now=timezone.now(),
            )
        except keys.NotRotated:
            messages.warning(request, f"“{api_key.name}” has another secret already, or was revoked. Nothing was done.")
            return redirect(api_key)
        told = bool(form.overlap_time) or api_key.in_force
        return show_once(request, member, api_key, secret, told=told)
    return render(request, "console/key_rotate.html", {"member": member, "key": api_key, "form": form})


@require_http_methods(["GET", "HEAD", "POST"])
@for_writers
def key_end_overlap(request: HttpRequest, member: Membership, key: str, secret: str) -> HttpResponse:
    """Let a replaced secret lapse ahead of time."""
    api_key, now = _key(member, key), timezone.now()
    row = next((row for row in rotation.rows(api_key, now) if row.secret.public_id == secret), None)
    if row is None:
        raise Http404
    if request.method == "POST":
        # Where the gateways can't be told yet, the page that follows says so.
        with suppress(Unreachable):
            if keys.end_overlap(api_key, secret=secret, actor=member.user, now=now):
                messages.success(request, f"{row.secret.hint} has ended: every request with it is refused.")
        return redirect(api_key)
    return render(request, "console/key_end_overlap.html", {"member": member, "key": api_key, "row": row})


@require_http_methods(["GET", "HEAD", "POST"])
@for_writers
def key_revoke(request: HttpRequest, member: Membership, key: str) -> HttpResponse:
    api_key = _key(member, key)
    form = RevokeForm(request.POST or None, key=api_key)
    if request.method == "POST" and form.is_valid():
        # The page that follows says since when every gateway refuses, or that they don't have it yet.
        with suppress(Unreachable):
            keys.revoke_key(api_key, actor=member.user, now=timezone.now())
        return redirect(api_key)
    used = usage.spend_by_key([api_key], since=timezone.now() - timedelta(days=1))
    context = {"member": member, "key": api_key, "form": form, "used": used.get(api_key.pk, (0, 0))}
    return render(request, "console/key_revoke.html", context)


@require_safe
@for_members
def key_in_force(request: HttpRequest, member: Membership, key: str) -> HttpResponse:
    """Asked every two seconds while the gateways don't have the key's last change yet."""
    api_key = _key(member, key)
    if not request.headers.get("HX-Request"):
        return redirect(api_key)
    return render(request, "console/key_in_force.html", {"member": member, "key": api_key})


def _key(member: Membership, public_id: str) -> ApiKey:
    mine = member.organization.api_keys.select_related("organization", "created_by", "revoked_by")
    return get_object_or_404(mine.prefetch_related(CURRENT_SECRET), public_id=public_id)
