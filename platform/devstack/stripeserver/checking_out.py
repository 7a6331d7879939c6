"""What happens on a Checkout page: a session is paid or a card saved, completed, or it expires."""

from devstack.stripeserver import paying, setting_up
from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.problems import invalid
from devstack.stripeserver.methods import attach
from devstack.stripeserver.objects.checkout_session import customer_details
from devstack.stripeserver.objects.customer import customer as new_customer
from devstack.stripeserver.objects.intents import payment_intent
from devstack.stripeserver.resources.intent_fields import keep_intent
from devstack.stripeserver.store import Json


def confirm(account: Account, session: Json, method: Json, *, email: str | None, save: bool) -> None:
    """The customer pressed the button. Raises a Problem (402) where the card says no.

    Afterwards the session is complete, or its intent `requires_action`.
    """
    if session["status"] != "open":
        raise invalid(f"This Checkout Session is {session['status']}.")
    _know_customer(account, session, email, method["billing_details"]["name"])
    if save:
        method["allow_redisplay"] = "always"
    intent = _intent(account, session)
    if save and session["customer"]:
        account.private(session)["save"] = True
    intent["payment_method"] = method["id"]
    if session["mode"] == "payment":
        paying.attempt(account, intent)
    else:
        setting_up.attempt(account, intent)
    if intent["status"] != "requires_action":
        complete(account, session)


def complete(account: Account, session: Json) -> None:
    """The session's intent is paid or set up."""
    intent = account.find(_kind(session), session[_kind(session)])
    method = account.find("payment_method", intent["payment_method"])
    if account.private(session).get("save") and method["customer"] is None:
        account.private(method)["spent"] = False
        attach(account, method, account.find("customer", session["customer"]))
    paid = "no_payment_required"
    if session["mode"] == "payment":
        paid = "paid" if intent["status"] == "succeeded" else "unpaid"
    session.update(status="complete", payment_status=paid, url=None)
    account.announce("checkout.session.completed", session)


def expire(account: Account, session: Json) -> None:
    """Nobody can pay it any more. Raises a Problem unless it is open."""
    if session["status"] != "open":
        text = f'Only Checkout Sessions with a status in ["open"] can be expired. This one is {session["status"]}.'
        raise invalid(text)
    session.update(status="expired", url=None)
    intent = account.store.get(session[_kind(session)] or "")
    if intent and intent["status"] not in ("succeeded", "canceled"):
        paying.cancel(account, intent, "expired" if session["mode"] == "payment" else None)
    account.announce("checkout.session.expired", session)


def expire_later(account: Account, name: str) -> None:
    """On the agenda, for when its time is over."""
    if (session := account.store.get(name)) and session["status"] == "open":
        expire(account, session)


def session_of(account: Account, intent: Json) -> Json | None:
    """The session that an intent belongs to, if it belongs to one."""
    return account.store.get(account.private(intent).get("session", ""))


def _kind(session: Json) -> str:
    return "payment_intent" if session["mode"] == "payment" else "setup_intent"


def _know_customer(account: Account, session: Json, email: str | None, name: str | None) -> None:
    wanted = session["customer_creation"] == "always" or account.private(session)["intent"].get("setup_future_usage")
    if session["customer"] is None and wanted and session["mode"] == "payment":
        made = new_customer(new_id("cus", 14), account.now(), new_id("", 7)[1:].upper())
        made.update(email=email, name=name)
        account.announce("customer.created", account.store.keep(made))
        session["customer"] = made["id"]
    known = account.store.get(session["customer"] or "") or {}
    session["customer_details"] = customer_details(known.get("email") or email, known.get("name") or name)


def _intent(account: Account, session: Json) -> Json:
    """The session's intent. A PaymentIntent is made when the customer first tries to pay."""
    kind = _kind(session)
    if session[kind]:
        intent = account.find(kind, session[kind])
        intent["customer"] = session["customer"]
        return intent
    name = new_id("pi")
    made = payment_intent(name, account.now(), new_id("", 25)[1:], session["amount_total"], session["currency"])
    made.update(account.private(session)["intent"], customer=session["customer"])
    if session["allowed_payment_method_types"]:
        made["automatic_payment_methods"] = None
    made.update({name: session[name] for name in ("allowed_payment_method_types", "payment_method_types")})
    session["payment_intent"] = name
    return keep_intent(account, made, session=session["id"], return_url=f"{account.address}/c/back/{session['id']}")
