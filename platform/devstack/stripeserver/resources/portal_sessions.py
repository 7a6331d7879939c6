"""Billing portal sessions."""

from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.parameters import Required, hash_of, one_of, text
from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.objects.portal_session import flow_of, portal_session
from devstack.stripeserver.store import Json

REDIRECT = hash_of({"return_url": Required(text)})
AFTER = hash_of({"type": Required(one_of("portal_homepage", "redirect")), "redirect": REDIRECT})
FLOW = hash_of({"type": Required(one_of("payment_method_update")), "after_completion": AFTER})


def create(account: Account, given: Json) -> Json:
    customer = account.find("customer", given["customer"], "customer")
    name = new_id("bps")
    flow = given.get("flow_data")
    made = portal_session(
        name,
        account.now(),
        customer["id"],
        f"{account.address}/p/session/{name}",
        given.get("return_url"),
        flow_of(flow["type"], flow.get("after_completion")) if flow else None,
    )
    return account.store.keep(made)


ROUTES = (
    Route(
        "POST",
        "/v1/billing_portal/sessions",
        create,
        {"customer": Required(text), "return_url": text, "flow_data": FLOW},
    ),
)
