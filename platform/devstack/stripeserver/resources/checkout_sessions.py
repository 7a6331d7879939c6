"""Checkout Sessions, in payment and setup mode."""

from devstack.stripeserver import checking_out
from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.listing import as_list, created, page, page_of, paged
from devstack.stripeserver.api.parameters import CURRENCIES, LARGEST, merged, metadata, one_of, text
from devstack.stripeserver.api.problems import malformed
from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.objects.checkout_session import checkout_session, customer_details, line_item, price
from devstack.stripeserver.objects.intents import setup_intent
from devstack.stripeserver.resources.intent_fields import keep_intent
from devstack.stripeserver.resources.session_parameters import BANK, CREATE, check
from devstack.stripeserver.store import Json

URL = "/v1/checkout/sessions"
PLAIN = ("cancel_url", "client_reference_id", "currency", "customer", "customer_email", "locale", "mode", "submit_type")


def create(account: Account, given: Json) -> Json:
    check(account, given)
    name = "cs_test_" + new_id("a1", 56)[3:]
    session = checkout_session(name, account.now(), f"{account.address}/c/pay/{name}", success_url=given["success_url"])
    session.update({field: given.get(field) for field in PLAIN})
    session["metadata"] = merged({}, given.get("metadata") or {})
    if types := given.get("allowed_payment_method_types"):
        session.update(allowed_payment_method_types=types, payment_method_types=types)
    session["expires_at"] = given.get("expires_at") or session["expires_at"]
    if session["customer_email"]:
        session["customer_details"] = customer_details(session["customer_email"], None)
    if saved := given.get("saved_payment_method_options"):
        empty = {"allow_redisplay_filters": ["always"], "payment_method_remove": None}
        session["saved_payment_method_options"] = {**empty, **saved}
    if given["mode"] == "payment":
        _price(account, session, given)
    else:
        _prepare_setup(account, session, given)
    account.later("expire", name, session["expires_at"] - account.time())
    return session


def update(account: Account, given: Json) -> Json:
    session = account.find("checkout.session", given["id"], "session")
    if "metadata" in given:
        session["metadata"] = merged(session["metadata"], given["metadata"])
    return session


def expire(account: Account, given: Json) -> Json:
    session = account.find("checkout.session", given["id"], "session")
    checking_out.expire(account, session)
    return session


def line_items(account: Account, given: Json) -> Json:
    session = account.find("checkout.session", given["id"], "session")
    items = account.private(session)["line_items"]
    return page_of(items["data"], given, items["url"])


def _price(account: Account, session: Json, given: Json) -> None:
    items = [_item(account, item) for item in given["line_items"]]
    currencies = {item["currency"] for item in items} | ({given["currency"]} if given.get("currency") else set())
    if len(currencies) > 1:
        raise malformed("All prices must have the same currency.", param="line_items")
    unit, total = currencies.pop(), sum(item["amount_total"] for item in items)
    if total < CURRENCIES[unit]:
        text = (
            f"The Checkout Session's total amount must add up to at least {CURRENCIES[unit]} of {unit}'s smallest unit."
        )
        raise malformed(text, "amount_too_small")
    if total > LARGEST:
        raise malformed("The Checkout Session's total amount must be no more than $999,999.99.", "amount_too_large")
    if BANK in session["payment_method_types"] and unit != "usd":
        raise malformed(f"{BANK} takes usd only.", param="allowed_payment_method_types")
    session.update(currency=unit, amount_subtotal=total, amount_total=total)
    session.update(customer_creation=None if session["customer"] else given.get("customer_creation") or "if_required")
    session["total_details"] = {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}
    data = {name: value for name, value in (given.get("payment_intent_data") or {}).items() if value is not None}
    if "metadata" in data:
        data["metadata"] = merged({}, data["metadata"])
    url = f"{URL}/{session['id']}/line_items"
    told = [item["price_data"]["product_data"].get("description") or "" for item in given["line_items"]]
    account.store.keep(session, intent=data, line_items=as_list(items, url), product_descriptions=told)


def _item(account: Account, given: Json) -> Json:
    data = given["price_data"]
    made = price(new_id("price"), new_id("prod", 14), account.now(), data["currency"], data["unit_amount"])
    return line_item(new_id("li"), made, given["quantity"], data["product_data"]["name"])


def _prepare_setup(account: Account, session: Json, given: Json) -> None:
    data = given.get("setup_intent_data") or {}
    intent = setup_intent(new_id("seti"), account.now(), new_id("", 25)[1:])
    intent.update(customer=session["customer"], description=data.get("description"))
    intent["metadata"] = merged({}, data.get("metadata") or {})
    back = f"{account.address}/c/back/{session['id']}"
    keep_intent(account, intent, session=session["id"], return_url=back)
    session.update(setup_intent=intent["id"], payment_status="no_payment_required")
    account.store.keep(session, intent={}, line_items=as_list([], f"{URL}/{session['id']}/line_items"))


def _list(account: Account, given: Json) -> Json:
    wanted = {name: given.get(name) for name in ("customer", "payment_intent", "status")}
    return page(account, "checkout.session", given, URL, **wanted)


FILTERS = {"customer": text, "payment_intent": text, "status": one_of("complete", "expired", "open")}
ROUTES = (
    Route("POST", URL, create, CREATE),
    Route("GET", URL, _list, paged(created=created, **FILTERS)),
    Route("GET", URL + "/{id}", lambda account, given: account.find("checkout.session", given["id"], "session")),
    Route("POST", URL + "/{id}", update, {"metadata": metadata}),
    Route("POST", URL + "/{id}/expire", expire),
    Route("GET", URL + "/{id}/line_items", line_items, paged()),
)
