"""The bank's page: the customer authenticates, or fails to (3D Secure)."""

from urllib.parse import urlencode

from aiohttp import web

from devstack.stripeserver import paying, setting_up
from devstack.stripeserver.account import Account
from devstack.stripeserver.api.problems import Problem
from devstack.stripeserver.checking_out import complete, session_of
from devstack.stripeserver.declining import fail_authentication
from devstack.stripeserver.pages.html import gone, money, page
from devstack.stripeserver.store import Json

PASSED = ("succeeded", "requires_capture")


def show(account: Account, intent: Json | None, secret: str) -> web.Response:
    """Two buttons, as long as the intent waits for one."""
    if intent is None or account.private(intent)["secret"] != secret:
        return gone("There is nothing to authenticate here.")
    if intent["status"] != "requires_action":
        return _back(account, intent)
    what = f"Pay {money(intent['amount'], intent['currency'])}" if "amount" in intent else "Save a card"
    body = (
        f'<h1>Is this you?</h1><div class="card"><p class="amount">{what}</p>'
        "<p>Your bank asks you to confirm. (This is a test page.)</p></div><form method='post'>"
        '<button name="outcome" value="complete" id="complete">Yes, confirm</button>'
        '<button name="outcome" value="fail" id="fail">No, fail</button></form>'
    )
    return page("Your bank", body, leads_to=_leads_to(account, intent))


def submit(account: Account, intent: Json | None, secret: str, outcome: str) -> web.Response:
    """What the customer pressed; then back to where the payment began."""
    if intent is None or account.private(intent)["secret"] != secret or intent["status"] != "requires_action":
        return show(account, intent, secret)
    try:
        if outcome != "complete":
            fail_authentication(account, intent)
        elif intent["object"] == "payment_intent":
            paying.attempt(account, intent, authenticated=True)
        else:
            setting_up.attempt(account, intent, authenticated=True)
        if (session := session_of(account, intent)) and intent["status"] in PASSED:
            complete(account, session)
    except Problem:
        pass  # the intent says what went wrong
    finally:
        account.bell.ring()
    return _back(account, intent)


def _back(account: Account, intent: Json) -> web.Response:
    address = account.private(intent).get("return_url")
    if not address:
        text = "You can close this page." if intent["status"] == "succeeded" else "This didn't work."
        return page("Your bank", f"<h1>{text}</h1>")
    if not account.private(intent).get("session"):
        done = "succeeded" if intent["status"] in PASSED else "failed"
        name = intent["object"]
        query = {name: intent["id"], f"{name}_client_secret": intent["client_secret"], "redirect_status": done}
        address += ("&" if "?" in address else "?") + urlencode(query)
    return web.Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})


def _leads_to(account: Account, intent: Json) -> list[str]:
    session = session_of(account, intent) or {}
    return [account.private(intent).get("return_url") or "", session.get("success_url") or ""]
