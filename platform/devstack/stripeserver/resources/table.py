"""All routes of the API."""

from devstack.stripeserver.api.routes import Route
from devstack.stripeserver.resources import (
    charges,
    checkout_sessions,
    customers,
    disputes,
    events,
    payment_intents,
    payment_methods,
    portal_sessions,
    refunds,
    setup_intents,
)

ROUTES: tuple[Route, ...] = (
    *customers.ROUTES,
    *payment_methods.ROUTES,
    *checkout_sessions.ROUTES,
    *payment_intents.ROUTES,
    *setup_intents.ROUTES,
    *charges.ROUTES,
    *refunds.ROUTES,
    *disputes.ROUTES,
    *events.ROUTES,
    *portal_sessions.ROUTES,
)


def route_for(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request with the names in its path; None if Stripe, as far as we know it, has none."""
    for route in ROUTES:
        if (names := route.match(method, path)) is not None:
            return route, names
    return None
