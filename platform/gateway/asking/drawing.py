"""Pictures out of chats: what is asked of them, how many an answer has, and what prices them."""

import re
from typing import Any

import msgspec

from billing.tariff import Tariff
from catalog.parameters import RATIO, SIZE
from gateway import errors
from gateway.asking.asked import Asked
from gateway.asking.counting import Counted
from gateway.asking.endpoints import CHAT, Endpoint
from gateway.asking.members import Members, value
from gateway.offering.offer import OfferedModel

# Where a request may say what its pictures have to be: as sent literally, and as OpenAI's SDK merges its `extra_body`.
# Upstreams take the first. Some take the last, which stays where it is.
LITERAL, MERGED, PLAIN = "extra_body.google.image_config", "google.image_config", "image_config"
RATIO_NAME, SIZE_NAME = "aspect_ratio", "image_size"
_EMBEDDED = re.compile(r"data:image/[A-Za-z0-9.+-]{1,40};base64,")
# What all ways have in common: without it an answer has no pictures, and needn't be read.
_SIGN = b"image"

Object = dict[str, Any]


def fitted(asked: Asked, endpoint: Endpoint, model: OfferedModel) -> Asked:
    """The request of a chat as a model takes it, with the most pictures that it makes. Raises ApiError."""
    if endpoint is not CHAT:
        return asked
    members, size = _settled(asked.members, model)
    counted = Counted({"images": model.most_images * asked.choices}, size)
    return asked.changed(members, counted)


def draws(model: OfferedModel, tariff: Tariff) -> bool:
    """Whether a model is known to draw in chats: it has parameters of pictures, or prices."""
    return model.draws or any(price.meter in ("images", "output_image_tokens") for price in tariff.unit_prices)


def may_have_pictures(choices: bytes) -> bool:
    """Whether it is worth to look for pictures in an answer's choices, or in a chunk of a stream."""
    return _SIGN in choices


def pictures(choices: Any) -> int:
    """How many an answer or a chunk has: beside the text (`images`), as its parts, or embedded in it."""
    found = 0
    for choice in choices if isinstance(choices, list) else []:
        said = (choice.get("message") or choice.get("delta")) if isinstance(choice, dict) else None
        if isinstance(said, dict):
            content = said.get("content")
            found += sum(map(_is_picture, [*_items(said.get("images")), *_items(content)]))
            found += len(_EMBEDDED.findall(content)) if isinstance(content, str) else 0
    return found


def charged(tokens: dict[str, int], made: int, asked: Asked, tariff: Tariff) -> dict[str, int]:
    """What counts of an answer's tokens and pictures: where pictures have a price, what has one."""
    prices = tariff.rates_of(tokens, asked.counted.variant).prices
    if "images" not in prices:
        return tokens
    used = {**tokens, "images": min(made, asked.counted.usage["images"])}
    own = prices.get("output_image_tokens")
    if own and own.meter != "output_image_tokens":
        # They have the price of text, as tokens of no other kind: the picture's price is for them.
        used.pop("output_image_tokens", None)
    return {meter: units for meter, units in used.items() if meter in prices or meter == "requests"}


def _settled(members: Members, model: OfferedModel) -> tuple[Members, str]:
    """The members, with what pictures have to be where upstreams look for it; and the size. Raises ApiError."""
    if not members.keys() & {"extra_body", "google", "image_config"}:
        return members, ""
    extra, merged, plain = (value(members, name) for name in ("extra_body", "google", "image_config"))
    literal = extra.get("google") if isinstance(extra, dict) else None
    said = [(LITERAL, _config(literal, LITERAL)), (MERGED, _config(merged, MERGED))]
    said.append((PLAIN, _config({"image_config": plain}, PLAIN)))
    ratio = _agreed(said, RATIO_NAME, RATIO, model.aspect_ratios)
    size = _agreed(said, SIZE_NAME, SIZE, model.image_sizes)
    chosen = {name: text for name, text in ((RATIO_NAME, ratio), (SIZE_NAME, size)) if text}
    changed: Object = {}
    if plain is not None:
        changed["image_config"] = {**plain, **{name: text for name, text in chosen.items() if name in plain}}
    if said[0][1] or said[1][1]:
        config = {**said[1][1], **said[0][1]}
        config |= {name: text for name, text in chosen.items() if name in config}
        google = {**_object(merged), **_object(literal), "image_config": config}
        changed["extra_body"] = {**_object(extra), "google": google}
    elif isinstance(merged, dict):
        changed["extra_body"] = {**_object(extra), "google": {**merged, **_object(literal)}}
    kept = {name: raw for name, raw in members.items() if "extra_body" not in changed or name != "google"}
    return {**kept, **{name: msgspec.Raw(msgspec.json.encode(one)) for name, one in changed.items()}}, size


def _config(google: Any, where: str) -> Object:
    found = google.get("image_config") if isinstance(google, dict) else None
    if found is not None and not isinstance(found, dict):
        raise errors.bad_request(f"`{where}` has to be an object.", param=where)
    return found or {}


def _agreed(said: list[tuple[str, Object]], name: str, pattern: re.Pattern[str], allowed: tuple[str, ...]) -> str:
    """What all places that say it say, as the model spells it; empty where none does. Raises ApiError."""
    found = ""
    for where, config in said:
        told = config.get(name)
        if told in (None, "auto"):
            continue
        param = f"{where}.{name}"
        if not isinstance(told, str) or not pattern.fullmatch(told):
            listed = f" of {', '.join(allowed)}" if allowed else ", such as 16:9 or 2K"
            raise errors.bad_request(f"`{param}` has to be one{listed}.", param=param)
        told = next((one for one in allowed if one.lower() == told.lower()), told)
        if allowed and told not in allowed:
            raise errors.bad_request(f"This model's `{name}` has to be one of {', '.join(allowed)}.", param=param)
        if found and told != found:
            raise errors.bad_request(f"`{param}` is {told}, and {found} elsewhere in the request.", param=param)
        found = told
    return found


def _object(found: Any) -> Object:
    return found if isinstance(found, dict) else {}


def _items(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _is_picture(item: Any) -> bool:
    """An entry with an address. A later part of one has none of its beginning."""
    link = item.get("image_url") if isinstance(item, dict) else None
    address = link.get("url") if isinstance(link, dict) else link
    return isinstance(address, str) and address.startswith(("data:", "http:", "https:"))
