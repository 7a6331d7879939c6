"""Calls to Stripe. Each is made outside of transactions, once, and ends in an answer, RefusedError or UnknownError."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import stripe
import structlog
from django.conf import settings
from django.db import connection

from billing.models import TopUp

log = structlog.get_logger(__name__)
T = TypeVar("T")

API_VERSION = "2026-10-28.endive"
"""What the library of requirements/base.in was made for. Raising one means reading Stripe's list of changes."""


class RefusedError(Exception):
    """Stripe said no: nothing was done. `code` is Stripe's, `temporary` whether the same may pass later."""

    def __init__(self, what: str, code: str, *, temporary: bool) -> None:
        super().__init__(f"Stripe refuses {what}: {code}")
        self.code, self.temporary = code, temporary


class DeclinedError(RefusedError):
    """A card said no. The PaymentIntent is there all the same, and says what became of it."""

    def __init__(self, what: str, code: str, intent: str) -> None:
        super().__init__(what, code, temporary=False)
        self.intent = intent


class UnknownError(Exception):
    """No answer, or one that doesn't tell: whether it was done must be looked up. `ended`: it isn't being done now."""

    def __init__(self, what: str, *, ended: bool) -> None:
        super().__init__(f"Stripe's answer to {what} is not known")
        self.ended = ended


class OpenTransactionError(RuntimeError):
    """A call while a transaction is open would hold its locks as long as Stripe likes."""


class OutsideTransactions(stripe.RequestsClient):
    """The library's client, which refuses to wait for Stripe within a transaction."""

    def request(self, *args: Any, **kwargs: Any) -> Any:
        if connection.in_atomic_block:
            raise OpenTransactionError("a call to Stripe within a database transaction")
        return super().request(*args, **kwargs)


def offered() -> bool:
    """Whether there is a Stripe to pay with."""
    return bool(settings.STRIPE_SECRET_KEY)


def ours(top_up: TopUp) -> bool:
    """Whether it is at the account and in the mode that the key is of."""
    return (top_up.account, top_up.livemode) == (settings.STRIPE_ACCOUNT, livemode())


def livemode() -> bool:
    """Whether real money moves."""
    return settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))


@contextmanager
def calling(what: str) -> Iterator[stripe.V1Services]:
    """Stripe, for one call. `what` is its name in logs and errors, which have nothing else of it but codes and ids."""
    try:
        yield _client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE, settings.STRIPE_TIMEOUT_SECONDS).v1
    except stripe.StripeError as error:
        status = error.http_status or 0
        code = error.code or type(error).__name__
        log.warning("stripe call failed", call=what, status=status, code=code, request=error.request_id)
        # Without what it came from: that one has Stripe's body.
        if isinstance(error, stripe.CardError) and (intent := _intent_of(error)):
            raise DeclinedError(what, code, intent) from None
        if 400 <= status < 500 and status != 409 and not isinstance(error, stripe.IdempotencyError):
            raise RefusedError(what, code, temporary=isinstance(error, stripe.RateLimitError)) from None
        raise UnknownError(what, ended=status >= 500) from None


def if_there(what: str, ask: Callable[[stripe.V1Services], T]) -> T | None:
    """The answer to one call; None where Stripe has no such object. Raises RefusedError and UnknownError."""
    try:
        with calling(what) as stripe_:
            return ask(stripe_)
    except RefusedError as error:
        if error.code != "resource_missing":
            raise
        return None


def _intent_of(error: stripe.CardError) -> str:
    return str(getattr(getattr(error.error, "payment_intent", None), "id", ""))


@lru_cache(maxsize=8)
def _client(key: str, base: str, seconds: int) -> stripe.StripeClient:
    # The library's own retries would hide that the first attempt's outcome is unknown.
    return stripe.StripeClient(
        key,
        stripe_version=API_VERSION,
        base_addresses={"api": base},
        max_network_retries=0,
        http_client=OutsideTransactions(timeout=(min(seconds, 5), seconds)),
    )
