"""Customers and their payment methods."""

from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.listing import created, page, paged
from devstack.stripeserver.api.parameters import ADDRESS, hash_of, list_of, merged, metadata, one_of, text
from devstack.stripeserver.api.problems import missing
from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.methods import attach, detach, find_method, make_default
from devstack.stripeserver.objects.customer import NO_ADDRESS, customer, deleted
from devstack.stripeserver.store import Json

URL = "/v1/customers"
DELETED = "deleted_customer"
PLAIN = ("description", "email", "name", "phone", "preferred_locales", "tax_exempt")
UPDATE = {
    "address": ADDRESS,
    "description": text,
    "email": text,
    "invoice_settings": hash_of({"default_payment_method": text}),
    "metadata": metadata,
    "name": text,
    "phone": text,
    "preferred_locales": list_of(text),
    "tax_exempt": one_of("exempt", "none", "reverse"),
}


def create(account: Account, given: Json) -> Json:
    made = customer(new_id("cus", 14), account.now(), new_id("", 7)[1:].upper())
    _apply(made, given)
    account.store.keep(made)
    if given.get("payment_method"):
        attach(account, find_method(account, given["payment_method"]), made)
    _choose(account, made, given)
    account.announce("customer.created", made)
    return made


def retrieve(account: Account, given: Json) -> Json:
    """A deleted one is what is left of it."""
    return account.store.get(given["id"], DELETED) or account.find("customer", given["id"])


def update(account: Account, given: Json) -> Json:
    found = account.find("customer", given["id"], "customer")
    before = dict(found)
    _apply(found, given)
    _choose(account, found, given)
    changed = {name: value for name, value in before.items() if found[name] != value and name != "invoice_settings"}
    if changed:
        account.announce("customer.updated", found, changed)
    return found


def delete(account: Account, given: Json) -> Json:
    found = account.find("customer", given["id"], "customer")
    for method in list(account.store.newest("payment_method")):
        if method["customer"] == found["id"]:
            detach(account, method)
    account.announce("customer.deleted", found)
    account.store.forget(found["id"])
    return account.store.keep(deleted(found), DELETED)


def payment_methods(account: Account, given: Json) -> Json:
    found = account.find("customer", given["id"], "customer")
    url = f"{URL}/{found['id']}/payment_methods"
    return page(account, "payment_method", given, url, customer=found["id"], type=given.get("type"))


def payment_method(account: Account, given: Json) -> Json:
    found = account.find("payment_method", given["method"], "payment_method")
    if found["customer"] != given["id"]:
        raise missing("PaymentMethod", given["method"], "payment_method")
    return found


def _apply(found: Json, given: Json) -> None:
    found.update({name: given[name] for name in PLAIN if name in given})
    if "address" in given:
        found["address"] = NO_ADDRESS | given["address"] if given["address"] else None
    if "metadata" in given:
        found["metadata"] = merged(found["metadata"], given["metadata"])


def _choose(account: Account, found: Json, given: Json) -> None:
    settings = given.get("invoice_settings") or {}
    if "default_payment_method" in settings:
        name = settings["default_payment_method"]
        make_default(account, found, find_method(account, name) if name else None)


def _list(account: Account, given: Json) -> Json:
    return page(account, "customer", given, URL, email=given.get("email"))


ROUTES = (
    Route("POST", URL, create, UPDATE | {"payment_method": text}),
    Route("GET", URL, _list, paged(created=created, email=text)),
    Route("GET", URL + "/{id}", retrieve),
    Route("POST", URL + "/{id}", update, UPDATE),
    Route("DELETE", URL + "/{id}", delete),
    Route("GET", URL + "/{id}/payment_methods", payment_methods, paged(type=one_of("card"))),
    Route("GET", URL + "/{id}/payment_methods/{method}", payment_method),
)
