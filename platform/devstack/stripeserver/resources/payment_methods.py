"""Payment methods."""

from devstack.stripeserver.account import Account
from devstack.stripeserver.api.listing import page, paged
from devstack.stripeserver.api.parameters import BILLING, Required, hash_of, integer, merged, metadata, one_of, text
from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.methods import attach, detach, find_method, make_method
from devstack.stripeserver.objects.payment_method import billing_details
from devstack.stripeserver.resources.intent_fields import METHOD
from devstack.stripeserver.store import Json

URL = "/v1/payment_methods"
REDISPLAY = one_of("always", "limited", "unspecified")
CREATE = {**METHOD, "allow_redisplay": REDISPLAY, "metadata": metadata}
UPDATE = {
    "allow_redisplay": REDISPLAY,
    "billing_details": BILLING,
    "card": hash_of({"exp_month": integer, "exp_year": integer}),
    "metadata": metadata,
}


def create(account: Account, given: Json) -> Json:
    method = make_method(account, given["card"], given.get("billing_details"))
    method["metadata"] = merged({}, given.get("metadata") or {})
    method["allow_redisplay"] = given.get("allow_redisplay") or method["allow_redisplay"]
    return method


def retrieve(account: Account, given: Json) -> Json:
    return find_method(account, given["id"])


def update(account: Account, given: Json) -> Json:
    method = find_method(account, given["id"])
    if given.get("billing_details"):
        method["billing_details"] = billing_details(method["billing_details"] | given["billing_details"])
    if given.get("card"):
        method["card"] |= given["card"]
    if given.get("allow_redisplay"):
        method["allow_redisplay"] = given["allow_redisplay"]
    if "metadata" in given:
        method["metadata"] = merged(method["metadata"], given["metadata"])
    account.announce("payment_method.updated", method)
    return method


def attach_to(account: Account, given: Json) -> Json:
    customer = account.find("customer", given["customer"], "customer")
    method = find_method(account, given["id"])
    attach(account, method, customer)
    return method


def detach_from(account: Account, given: Json) -> Json:
    method = find_method(account, given["id"])
    detach(account, method)
    return method


def _list(account: Account, given: Json) -> Json:
    wanted = {name: given.get(name) for name in ("customer", "type", "allow_redisplay")}
    return page(account, "payment_method", given, URL, **wanted)


ROUTES = (
    Route("POST", URL, create, CREATE),
    Route("GET", URL, _list, paged(customer=text, type=one_of("card"), allow_redisplay=REDISPLAY)),
    Route("GET", URL + "/{id}", retrieve),
    Route("POST", URL + "/{id}", update, UPDATE),
    Route("POST", URL + "/{id}/attach", attach_to, {"customer": Required(text)}),
    Route("POST", URL + "/{id}/detach", detach_from),
)
