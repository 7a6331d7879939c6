"""Where staff find a payment in Stripe's dashboard. The local Stripe has one page for all."""

from urllib.parse import quote

from django.conf import settings

from billing.models import TopUp

API = "https://api.stripe.com"
DASHBOARD = "https://dashboard.stripe.com"


def dashboard(kind: str, stripe_id: str | None, *, livemode: bool) -> str:
    """The page of a `payments` or `disputes` object; empty where there is none."""
    if not stripe_id:
        return ""
    if settings.STRIPE_API_BASE != API:
        return settings.STRIPE_CHECKOUT_ORIGIN
    return f"{DASHBOARD}{'' if livemode else '/test'}/{kind}/{quote(stripe_id, safe='')}"


def payment(top_up: TopUp) -> str:
    """The page of what paid a top-up."""
    return dashboard("payments", top_up.payment_intent, livemode=top_up.livemode)
