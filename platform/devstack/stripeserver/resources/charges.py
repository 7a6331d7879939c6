"""Charges, balance transactions and the balance. PaymentIntents make charges."""

from devstack.stripeserver.account import Account
from devstack.stripeserver.api.listing import created, page, paged
from devstack.stripeserver.api.parameters import merged, metadata, text
from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.objects.balance import balance
from devstack.stripeserver.store import Json

CHARGES = "/v1/charges"
TRANSACTIONS = "/v1/balance_transactions"


def update(account: Account, given: Json) -> Json:
    charge = account.find("charge", given["id"], "charge")
    if "metadata" in given:
        charge["metadata"] = merged(charge["metadata"], given["metadata"])
    charge["description"] = given.get("description", charge["description"])
    account.announce("charge.updated", charge)
    return charge


def transaction(account: Account, given: Json) -> Json:
    return _as_now(account, account.find("balance_transaction", given["id"]))


def current(account: Account, given: Json) -> Json:
    return balance(list(account.store.newest("balance_transaction")), account.now())


def _charges(account: Account, given: Json) -> Json:
    wanted = {name: given.get(name) for name in ("customer", "payment_intent")}
    return page(account, "charge", given, CHARGES, **wanted)


def _transactions(account: Account, given: Json) -> Json:
    wanted = {name: given.get(name) for name in ("type", "source", "currency")}
    found = page(account, "balance_transaction", given, TRANSACTIONS, **wanted)
    return found | {"data": [_as_now(account, each) for each in found["data"]]}


def _as_now(account: Account, entry: Json) -> Json:
    if entry["available_on"] <= account.now():
        entry["status"] = "available"
    return entry


ROUTES = (
    Route("GET", CHARGES, _charges, paged(created=created, customer=text, payment_intent=text)),
    Route("GET", CHARGES + "/{id}", lambda account, given: account.find("charge", given["id"], "charge")),
    Route("POST", CHARGES + "/{id}", update, {"metadata": metadata, "description": text}),
    Route("GET", TRANSACTIONS, _transactions, paged(created=created, type=text, source=text, currency=text)),
    Route("GET", TRANSACTIONS + "/{id}", transaction),
    Route("GET", "/v1/balance", current),
)
