"""Stripe's shapes: what its published sample objects and its library's types say of an object's fields.

The samples lie beside the checkout, in ../shared/stripe/fixtures3.json, which not everybody has. So `shapes.json` has
what the tests need of them, names and types alone: `python tests/devstack/stripeserver/shapes.py` makes it anew. Where
the samples are there, objects are held against them, and a test compares the copy.
"""

import inspect
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import stripe
from stripe._object_classes import get_object_class

SAMPLES = Path(__file__).resolve().parents[3].parent / "shared" / "stripe" / "fixtures3.json"
COPY = Path(__file__).with_name("shapes.json")
SERVED = (
    "balance",
    "balance_transaction",
    "billing_portal.session",
    "charge",
    "checkout.session",
    "customer",
    "deleted_customer",
    "deleted_webhook_endpoint",
    "dispute",
    "event",
    "item",
    "payment_intent",
    "payment_method",
    "price",
    "refund",
    "setup_intent",
    "webhook_endpoint",
)
FREE = ("metadata", "previous_attributes")
"""Hashes with names of anybody's choice."""
TYPES = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}


def shape(sample: Any, name: str = "") -> Any:
    """Names and types alone. The object in an event is any object."""
    if isinstance(sample, dict):
        inner = {} if name in FREE else sample
        return {part: "any" if name == "data" else shape(value, part) for part, value in inner.items()}
    if isinstance(sample, list):
        return [shape(part) for part in sample[:1]]
    return TYPES[type(sample)]


def made_from_samples() -> dict[str, Any]:
    resources = json.loads(SAMPLES.read_text())["resources"]
    return {name: shape(resources[name]) for name in SERVED}


def against_sample(thing: Any, wanted: Any, path: str) -> list[str]:
    """What is missing or of another type. A null is judged by the library's types alone, on both sides."""
    if wanted in ("any", "null") or thing is None:
        return []
    if isinstance(wanted, dict):
        if not isinstance(thing, dict):
            return [f"{path} should be an object"]
        # The samples are of cards; another type has a hash of its own name.
        alien = {"card"} if thing.get("type", "card") != "card" else set()
        missing = [f"{path}.{name} is missing" for name in wanted if name not in {*thing, *alien}]
        inner = [against_sample(thing[name], wanted[name], f"{path}.{name}") for name in wanted if name in thing]
        return missing + [problem for problems in inner for problem in problems]
    if isinstance(wanted, list):
        if not isinstance(thing, list):
            return [f"{path} should be a list"]
        return [problem for part in thing for problem in against_sample(part, (wanted or ["any"])[0], f"{path}[]")]
    return [] if TYPES.get(type(thing)) == wanted else [f"{path} should be a {wanted}, not {thing!r}"]


def against_library(thing: Any, declared: Any, path: str) -> list[str]:
    """Fields that the library doesn't know, lacks, or types otherwise; values that aren't in its enumerations."""
    if get_origin(declared) is Union:
        return _union(thing, get_args(declared), path)
    if get_origin(declared) is Literal:
        return [] if thing in get_args(declared) else [f"{path}: {thing!r} is none of {get_args(declared)}"[:300]]
    if get_origin(declared) is list:
        if not isinstance(thing, list):
            return [f"{path} should be a list"]
        return [problem for part in thing for problem in against_library(part, get_args(declared)[0], f"{path}[]")]
    if isinstance(declared, (ForwardRef, str)) or get_origin(declared) is stripe.ListObject:
        return against_class(thing, path)
    if isinstance(declared, type) and issubclass(declared, stripe.StripeObject):
        return _fields(thing, declared, path)
    if get_origin(declared) is not None or declared is Any:
        return [] if isinstance(thing, dict) or declared is Any else [f"{path} should be an object"]
    plain: Any = {Decimal: str, float: (int, float)}.get(declared, declared)
    right = isinstance(thing, plain) and (declared is bool or not isinstance(thing, bool))
    return [] if right else [f"{path} should be {declared.__name__}, not {thing!r}"]


def against_class(thing: Any, path: str) -> list[str]:
    """An object of its own, by its `object`."""
    if not isinstance(thing, dict) or "object" not in thing:
        return [f"{path} should be an object of Stripe's, not {thing!r}"]
    if thing["object"] == "list":
        return [problem for part in thing["data"] for problem in against_class(part, f"{path}[]")]
    return _fields(thing, get_object_class("V1", thing["object"]), path)


def _union(thing: Any, choices: tuple[Any, ...], path: str) -> list[str]:
    if thing is None:
        return [] if type(None) in choices else [f"{path} can't be null"]
    named = [choice for choice in choices if get_origin(choice) is Literal]
    if named and isinstance(thing, str):
        return against_library(thing, named[0], path)
    if str in choices and isinstance(thing, str):
        return []
    rest = [choice for choice in choices if choice is not type(None) and choice is not str]
    found = [against_library(thing, choice, path) for choice in rest]
    return min(found, key=len) if found else [f"{path}: {thing!r} is of no type that the library knows"]


def _fields(thing: Any, declared: type, path: str) -> list[str]:
    if not isinstance(thing, dict):
        return [f"{path} should be an object, not {thing!r}"]
    known = {
        name: kind
        for each in declared.__mro__
        if each.__module__.startswith("stripe.") and issubclass(each, stripe.StripeObject)
        for name, kind in inspect.get_annotations(each).items()
        if not str(kind).startswith("typing.ClassVar") and not name.startswith("_")
    }
    if thing.get("deleted"):
        return []
    problems = [f"{path}.{name} isn't Stripe's" for name in thing if name not in known and known]
    for name, kind in known.items():
        optional = get_origin(kind) is Union and type(None) in get_args(kind)
        if name in thing:
            problems += against_library(thing[name], kind, f"{path}.{name}")
        elif not optional:
            problems.append(f"{path}.{name} is missing")
    return problems


if __name__ == "__main__":
    COPY.write_text(json.dumps(made_from_samples(), indent=1) + "\n")
