"""Parameters that a route takes: names with readers. What isn't named is refused, as Stripe does.

A reader gets the raw value (text, list or hash) and the parameter's name, and returns what it means. An empty text
unsets: None.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from devstack.stripeserver.api.problems import malformed
from devstack.stripeserver.store import Json

Reader = Callable[[Any, str], Any]
Parameters = dict[str, Any]
"""Names with a Reader or a Required each."""
CURRENCIES = {"usd": 50, "eur": 50, "gbp": 30, "chf": 50, "cad": 50, "aud": 50, "jpy": 50, "krw": 100}
"""Those that the local Stripe takes, with the least amount of each in its smallest unit."""
LARGEST = 99_999_999


@dataclass(frozen=True)
class Required:
    """A parameter that must be there."""

    reader: Reader


def read(raw: Json, parameters: Parameters, inside: str = "") -> Json:
    """The given parameters, read. Raises a Problem that names the first wrong one."""
    for name in raw:
        if name not in parameters:
            param = _name(inside, name)
            raise malformed(f"Received unknown parameter: {param}", "parameter_unknown", param)
    result = {}
    for name, reader in parameters.items():
        param = _name(inside, name)
        if name in raw:
            result[name] = (reader.reader if isinstance(reader, Required) else reader)(raw[name], param)
        if isinstance(reader, Required) and result.get(name) is None:
            raise malformed(f"Missing required param: {param}.", "parameter_missing", param)
    return result


def text(value: Any, param: str) -> str | None:
    if not isinstance(value, str):
        raise malformed(f"Invalid string: {value}", param=param)
    if len(value) > 5000:
        raise malformed(f"Invalid string: {value[:40]}… must be at most 5000 characters", param=param)
    return value or None


def integer(value: Any, param: str) -> int | None:
    if value == "":
        return None
    if not isinstance(value, str) or not re.fullmatch(r"-?\d{1,15}", value):
        raise malformed(f"Invalid integer: {value}", "parameter_invalid_integer", param)
    return int(value)


def amount(value: Any, param: str) -> int:
    """Positive, in the currency's smallest unit."""
    number = integer(value, param)
    if number is None or number < 1:
        raise malformed("This value must be greater than or equal to 1.", "parameter_invalid_integer", param)
    if number > LARGEST:
        raise malformed("Amount must be no more than $999,999.99", "amount_too_large", param)
    return number


def boolean(value: Any, param: str) -> bool:
    if value not in ("true", "false"):
        raise malformed(f"Invalid boolean: {value}", param=param)
    return bool(value == "true")


def currency(value: Any, param: str) -> str:
    code = str(value).lower()
    if code not in CURRENCIES:
        known = ", ".join(CURRENCIES)
        raise malformed(f"Invalid currency: {code[:10]}. The local Stripe takes {known}", param=param)
    return code


def one_of(*choices: str) -> Reader:
    def reader(value: Any, param: str) -> str | None:
        if value == "":
            return None
        if value not in choices:
            raise malformed(f"Invalid {param}: must be one of {', '.join(choices)}", param=param)
        return str(value)

    return reader


def hash_of(parameters: Parameters) -> Reader:
    def reader(value: Any, param: str) -> Json | None:
        if value == "":
            return None
        if not isinstance(value, dict):
            raise malformed(f"Invalid object: {param}", param=param)
        return read(value, parameters, param)

    return reader


def list_of(inner: Reader, most: int = 100) -> Reader:
    def reader(value: Any, param: str) -> list[Any]:
        if value == "":
            return []
        if not isinstance(value, list) or len(value) > most:
            raise malformed(f"Invalid array: {param}", param=param)
        return [inner(part, f"{param}[{place}]") for place, part in enumerate(value)]

    return reader


def metadata(value: Any, param: str) -> dict[str, str] | None:
    """Names with texts: an empty text removes that name, an empty hash all of them (None)."""
    if value == "":
        return None
    if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
        raise malformed("Invalid metadata: it must be a hash of strings.", param=param)
    for name, part in value.items():
        if len(name) > 40:
            raise malformed(f"Metadata keys must be at most 40 characters: {name[:40]}…", param=f"{param}[{name}]")
        if len(part) > 500:
            raise malformed("Metadata values must be at most 500 characters.", param=f"{param}[{name}]")
    return dict(value)


def merged(earlier: Mapping[str, str], given: dict[str, str] | None) -> dict[str, str]:
    """An object's metadata after an update. Raises a Problem if there were more than fifty."""
    if given is None:
        return {}
    result = {name: part for name, part in {**earlier, **given}.items() if part != ""}
    if len(result) > 50:
        raise malformed("You can have at most 50 metadata keys.", param="metadata")
    return result


ADDRESS = hash_of(dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), text))
BILLING = hash_of({"address": ADDRESS, "email": text, "name": text, "phone": text, "tax_id": text})


def _name(inside: str, name: str) -> str:
    return f"{inside}[{name}]" if inside else name
