"""Payments: looking for them, what has become of each, refunds."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.models import Dispute, PaymentDifference, Refund, TopUp
from billing.payments import calling, differences, disputes, refunding, refunds, settling
from website import at_stripe, payment_list
from website.access import signed_in
from website.forms.refunds import RefundForm
from website.money import trimmed
from website.paging import address_of, page_of

PAGE = 50
UNKNOWN = (
    "Stripe's answer isn't known. The credit is taken; it is looked up within minutes whether the refund was made, and"
    " nothing is refunded twice."
)

SENT = {
    Refund.State.ASKED: "Stripe was asked; its answer comes within minutes.",
    Refund.State.PENDING: "The refund is on its way. The balance has so much less.",
    Refund.State.DONE: "Refunded. The balance has so much less.",
    Refund.State.FAILED: "The refund failed at once. The balance is as it was.",
}


@require_safe
def payment_list_page(request: HttpRequest) -> HttpResponse:
    """All payments, and the disputes that are open."""
    wanted = payment_list.Wanted.of(request.GET)
    shown, following = page_of(request, payment_list.found(wanted), PAGE, newest_first=True)
    context = {
        "wanted": wanted,
        "states": payment_list.STATES,
        "top_ups": shown,
        "following": following,
        "address": address_of(wanted.parts),
        "differences": PaymentDifference.objects.filter(closed_at=None).select_related("top_up").order_by("pk")[:PAGE],
        "disputes": Dispute.objects.open().select_related("organization", "top_up").order_by("due_by", "id")[:PAGE],
    }
    return render(request, "staff/payments.html", context)


@require_safe
def payment(request: HttpRequest, top_up: str) -> HttpResponse:
    """One, with what went back of it."""
    found = _found(top_up)
    context = {
        "top_up": found,
        "refunds": found.refunds.select_related("actor").order_by("-pk"),
        "disputes": [
            (dispute, at_stripe.dashboard("disputes", dispute.stripe_id, livemode=found.livemode))
            for dispute in found.disputes.order_by("-pk")
        ],
        "dashboard": at_stripe.payment(found),
        "refundable": found.state == TopUp.State.PAID and calling.ours(found) and refunding.left(found) > 0,
    }
    return render(request, "staff/payment.html", context)


@require_POST
def payment_look(request: HttpRequest, top_up: str) -> HttpResponse:
    """Ask Stripe what has become of it and of its refunds and disputes, now."""
    found = _found(top_up)
    try:
        settling.look(found, now=timezone.now())
        for refund in found.refunds.exclude(state=Refund.State.FAILED):
            refunds.look(refund, now=timezone.now())
        for dispute in found.disputes.all():
            disputes.look(dispute, now=timezone.now())
    except (calling.RefusedError, calling.UnknownError) as error:
        messages.error(request, f"{error}. Try again in a moment.")
    else:
        messages.success(request, "This is how it stands at Stripe.")
    return redirect("staff_payment", top_up=top_up)


@require_POST
def payment_repair(request: HttpRequest, difference: int) -> HttpResponse:
    """Let our side be what Stripe says, as healing would; then compare again."""
    found = get_object_or_404(PaymentDifference.objects.filter(closed_at=None), pk=difference)
    try:
        agreed = differences.repair(found, actor=signed_in(request), now=timezone.now())
    except (calling.RefusedError, calling.UnknownError) as error:
        messages.error(request, f"{error}. Try again in a moment.")
    else:
        if agreed:
            messages.success(request, "Both sides agree now.")
        else:
            messages.warning(request, f"It still differs, so a person must look at it: {found.stripe_id}.")
    return redirect("staff_payments")


@require_http_methods(["GET", "HEAD", "POST"])
def payment_refund(request: HttpRequest, top_up: str) -> HttpResponse:
    """Give some of it back. What it leaves behind is said before."""
    found = _found(top_up)
    unspent, left = refunding.unspent(found), refunding.left(found)
    form = RefundForm(
        request.POST or None, initial={"amount": trimmed(unspent).lstrip("$").replace(",", "") if unspent else ""}
    )
    if request.method == "POST" and form.is_valid():
        try:
            begun = refunding.begin(
                found,
                form.cleaned_data["amount"],
                reason=form.cleaned_data["reason"],
                actor=signed_in(request),
                may_owe=form.cleaned_data["may_owe"],
                request_id=form.cleaned_data["request_id"],
                now=timezone.now(),
            )
        except refunding.RefundError as error:
            form.add_error(None, str(error))
        else:
            _send(request, begun)
            return redirect("staff_payment", top_up=top_up)
    context = {"top_up": found, "form": form, "unspent": unspent, "left": left, "spent": left - unspent}
    return render(request, "staff/payment_refund.html", context)


def _send(request: HttpRequest, refund: Refund) -> None:
    try:
        sent = refunding.send(refund, now=timezone.now())
    except calling.UnknownError:
        messages.warning(request, UNKNOWN)
    except calling.RefusedError:
        refund.refresh_from_db()
        messages.error(request, f"Not refunded: {refund.why} The balance is as it was.")
    else:
        messages.success(request, SENT[Refund.State(sent.state)])


def _found(public_id: str) -> TopUp:
    rows = TopUp.objects.select_related("organization__balance", "transaction__grant", "actor", "card")
    return get_object_or_404(rows, public_id=public_id)
