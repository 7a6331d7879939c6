"""A billing portal session."""

from devstack.stripeserver.store import Json


def portal_session(name: str, now: int, customer: str, url: str, return_url: str | None, flow: Json | None) -> Json:
    return {
        "id": name,
        "object": "billing_portal.session",
        "configuration": "bpc_local",
        "created": now,
        "customer": customer,
        "customer_account": None,
        "flow": flow,
        "livemode": False,
        "locale": None,
        "on_behalf_of": None,
        "return_url": return_url,
        "url": url,
    }


def flow_of(kind: str, after: Json | None) -> Json:
    """A flow that begins with one thing, for example `payment_method_update`."""
    after = after or {}
    return {
        "after_completion": {
            "hosted_confirmation": None,
            "redirect": after.get("redirect"),
            "type": after.get("type", "portal_homepage"),
        },
        "subscription_cancel": None,
        "subscription_update": None,
        "subscription_update_confirm": None,
        "type": kind,
    }
