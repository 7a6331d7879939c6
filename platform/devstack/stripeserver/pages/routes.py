"""The pages' addresses."""

from aiohttp import web

from devstack.stripeserver.account import Account
from devstack.stripeserver.pages import authentication, checkout, overview, portal
from devstack.stripeserver.pages.html import STYLE
from devstack.stripeserver.store import Json
from devstack.stripeserver.webhooks.deliveries import Deliveries

NOBODY: Json = {"id": None, "idempotency_key": None}
"""Who asked for what happens on a page: no API request."""


class Pages:
    """The pages of one account."""

    def __init__(self, account: Account, deliveries: Deliveries) -> None:
        self.account, self.deliveries = account, deliveries

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/", self.overview)
        router.add_get("/style.css", self.style)
        router.add_get("/receipts/{id}", self.receipt)
        router.add_route("*", "/c/pay/{id}", self.checkout)
        router.add_get("/c/back/{id}", self.back)
        router.add_route("*", "/3ds/{id}/{secret}", self.authentication)
        router.add_route("*", "/p/session/{id}", self.portal)

    async def overview(self, request: web.Request) -> web.Response:
        return overview.overview(self.account, self.deliveries)

    async def style(self, request: web.Request) -> web.Response:
        return web.Response(text=STYLE, content_type="text/css")

    async def receipt(self, request: web.Request) -> web.Response:
        return overview.receipt(self.account, self._get(request, "charge"))

    async def checkout(self, request: web.Request) -> web.Response:
        session = self._get(request, "checkout.session")
        if request.method != "POST":
            return checkout.show(self.account, session, {})
        typed = await request.post()
        self.account.request = NOBODY
        return checkout.submit(self.account, self._get(request, "checkout.session"), typed)

    async def back(self, request: web.Request) -> web.Response:
        self.account.request = NOBODY
        return checkout.back_from_bank(self.account, self._get(request, "checkout.session"))

    async def authentication(self, request: web.Request) -> web.Response:
        secret = request.match_info["secret"]
        if request.method != "POST":
            return authentication.show(self.account, self._intent(request), secret)
        typed = await request.post()
        self.account.request = NOBODY
        return authentication.submit(self.account, self._intent(request), secret, str(typed.get("outcome", "")))

    async def portal(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            return portal.show(self.account, self._get(request, "billing_portal.session"), {})
        typed = await request.post()
        self.account.request = NOBODY
        return portal.submit(self.account, self._get(request, "billing_portal.session"), typed)

    def _intent(self, request: web.Request) -> Json | None:
        return self._get(request, "payment_intent") or self._get(request, "setup_intent")

    def _get(self, request: web.Request, kind: str) -> Json | None:
        return self.account.store.get(request.match_info["id"], kind)
