"""Whether what a key may do is within what another may: a key can't make or widen one beyond itself."""

from collections.abc import Iterable
from ipaddress import ip_network

from msgspec.structs import asdict

from accounts.key_terms import KeyTerms
from gateway.deciding.matching import model_allowed


def beyond(terms: KeyTerms, bound: KeyTerms) -> list[str]:
    """The members in which `terms` allow more than `bound`, as the API names them."""
    found = []
    if not set(terms.scopes) <= set(bound.scopes):
        found.append("scopes")
    if not _models_within(terms.allowed_models, bound.allowed_models):
        found.append("models")
    if not _networks_within(terms.allowed_networks, bound.allowed_networks):
        found.append("networks")
    if bound.expires_at and (terms.expires_at is None or terms.expires_at > bound.expires_at):
        found.append("expires_at")
    for prefix, asked, allowed in (("", terms.limits, bound.limits), ("budget_", terms.budgets, bound.budgets)):
        mosts = asdict(asked)
        found += [f"{prefix}{name}" for name, most in asdict(allowed).items() if _more(mosts[name], most)]
    return found


def _more(asked: int | None, allowed: int | None) -> bool:
    return allowed is not None and (asked is None or asked > allowed)


def _models_within(patterns: Iterable[str], bound: Iterable[str]) -> bool:
    # Read as an id, a pattern's star fits a star of the bound and nothing else: so whatever it stands for fits, too.
    allowed = frozenset(bound)
    return not allowed or (bool(patterns) and all(model_allowed(pattern, allowed) for pattern in patterns))


def _networks_within(networks: Iterable[str], bound: Iterable[str]) -> bool:
    allowed = [ip_network(network) for network in bound]
    asked = [ip_network(network) for network in networks]
    if not allowed:
        return True
    return bool(asked) and all(any(_inside(one, another) for another in allowed) for one in asked)


def _inside(one: object, another: object) -> bool:
    return type(one) is type(another) and one.subnet_of(another)  # type: ignore[attr-defined]
