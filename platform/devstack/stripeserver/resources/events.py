"""Events and webhook endpoints."""

from devstack.stripeserver.account import Account, new_id
from devstack.stripeserver.api.listing import created, page, paged
from devstack.stripeserver.api.parameters import Required, boolean, list_of, merged, metadata, text
from devstack.stripeserver.api.problems import malformed
from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.objects.customer import deleted
from devstack.stripeserver.objects.webhook_endpoint import webhook_endpoint
from devstack.stripeserver.store import Json
from devstack.stripeserver.version import VERSION

EVENTS = "/v1/events"
ENDPOINTS = "/v1/webhook_endpoints"
FIELDS = {"description": text, "enabled_events": list_of(text, 250), "metadata": metadata, "url": text}
CREATE = FIELDS | {"api_version": text, "enabled_events": Required(FIELDS["enabled_events"]), "url": Required(text)}


def create(account: Account, given: Json) -> Json:
    """The answer alone has the secret."""
    if given.get("api_version") not in (None, VERSION):
        raise malformed(f"The local Stripe speaks API version {VERSION} only.", param="api_version")
    made = keep_endpoint(account, given, "whsec_" + new_id("", 32)[1:])
    return made | {"secret": account.private(made)["secret"]}


def keep_endpoint(account: Account, given: Json, secret: str) -> Json:
    """A new endpoint whose events are signed with this secret."""
    _check_url(given["url"])
    fields = {
        "url": given["url"],
        "enabled_events": given["enabled_events"],
        "description": given.get("description"),
        "metadata": merged({}, given.get("metadata") or {}),
    }
    return account.store.keep(webhook_endpoint(new_id("we"), account.now(), **fields), secret=secret)


def update(account: Account, given: Json) -> Json:
    endpoint = account.find("webhook_endpoint", given["id"], "webhook_endpoint")
    if given.get("url"):
        _check_url(given["url"])
    endpoint.update({name: given[name] for name in ("url", "enabled_events", "description") if name in given})
    if "metadata" in given:
        endpoint["metadata"] = merged(endpoint["metadata"], given["metadata"])
    if "disabled" in given:
        endpoint["status"] = "disabled" if given["disabled"] else "enabled"
    return endpoint


def delete(account: Account, given: Json) -> Json:
    endpoint = account.find("webhook_endpoint", given["id"], "webhook_endpoint")
    account.store.forget(endpoint["id"])
    return deleted(endpoint)


def _check_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise malformed("Invalid URL: An explicit scheme (such as https) must be provided.", "url_invalid", "url")


def _events(account: Account, given: Json) -> Json:
    kinds = [given["type"]] if given.get("type") else given.get("types")
    return page(account, "event", given, EVENTS, type=kinds)


def _endpoints(account: Account, given: Json) -> Json:
    return page(account, "webhook_endpoint", given, ENDPOINTS)


ROUTES = (
    Route("GET", EVENTS, _events, paged(created=created, type=text, types=list_of(text, 20))),
    Route("GET", EVENTS + "/{id}", lambda account, given: account.find("event", given["id"])),
    Route("POST", ENDPOINTS, create, CREATE),
    Route("GET", ENDPOINTS, _endpoints, paged()),
    Route("GET", ENDPOINTS + "/{id}", lambda account, given: account.find("webhook_endpoint", given["id"])),
    Route("POST", ENDPOINTS + "/{id}", update, FIELDS | {"disabled": boolean}),
    Route("DELETE", ENDPOINTS + "/{id}", delete),
)
