"""What a model takes. A request for something else is told what is allowed, holds nothing and reaches no upstream."""

from dataclasses import replace

from gateway import errors
from gateway.asking import drawing
from gateway.asking.asked import Asked
from gateway.asking.endpoints import CHAT, VIDEOS, Endpoint
from gateway.asking.members import integer, value
from gateway.errors import ApiError
from gateway.offering.offer import OfferedModel

# No vocabulary has a longer token (a run of spaces): so few tokens a text has at least. By fewer bytes, as our count
# of tokens is made, what would fit could be refused.
MOST_BYTES_PER_TOKEN = 128
# With these an upstream shortens what is too long.
_SHORTENING = ("truncate_prompt_tokens", "transforms", "truncation")


def taken(asked: Asked, endpoint: Endpoint, model: OfferedModel) -> tuple[Asked, ApiError | None]:
    """The request as the model takes it, and the error where it asks for more than the model has, or for what it
    hasn't got."""
    try:
        fitted = drawing.fitted(asked, endpoint, model)
        if endpoint.has_output:
            _check_output(asked, endpoint, model)
            _check_context(asked, endpoint, model)
        if endpoint.writes == "pictures":
            integer(asked.members, "n", 1, model.most_images)
        if endpoint.writes == "pictures" or endpoint is VIDEOS:
            _check_listed("size", value(asked.members, "size"), model.image_sizes)
            _check_listed("aspect_ratio", value(asked.members, "aspect_ratio"), model.aspect_ratios)
    except ApiError as error:
        return asked, error
    return fitted, None


def _check_listed(name: str, wanted: object, allowed: tuple[str, ...]) -> None:
    """Raises ApiError where it isn't one of them; nothing, `auto`, and no list are anything."""
    if allowed and wanted not in (None, "auto", *allowed):
        raise errors.bad_request(f"This model's `{name}` has to be one of {', '.join(allowed)}.", param=name)


def _check_output(asked: Asked, endpoint: Endpoint, model: OfferedModel) -> None:
    most = asked.most_output_tokens
    if most is not None and most > model.max_output_tokens:
        name = _limit_name(asked, endpoint)
        raise errors.bad_request(
            f"{name} is too large: {most}. This model supports at most {model.max_output_tokens} output tokens.",
            param=name,
        )


def _check_context(asked: Asked, endpoint: Endpoint, model: OfferedModel) -> None:
    """Only what fits by no count is refused: the model's own is known to the upstream alone."""
    window, output = model.context_window, asked.most_output_tokens or 1
    # Most requests are far from it, whatever their bytes are.
    if -(-asked.size // MOST_BYTES_PER_TOKEN) + output <= window or any(one in asked.members for one in _SHORTENING):
        return
    least = -(-asked.text_bytes() // MOST_BYTES_PER_TOKEN)
    if least + output > window:
        name = "messages" if endpoint is CHAT else "prompt"
        limit = f", and {_limit_name(asked, endpoint)} asks for {output} more" if asked.most_output_tokens else ""
        raise replace(
            errors.CONTEXT_LENGTH,
            message=f"This model's context window is {window} tokens. Your `{name}` has at least {least}{limit}.",
            param=name if least >= window else _limit_name(asked, endpoint),
        )


def _limit_name(asked: Asked, endpoint: Endpoint) -> str:
    """As the request calls its most output tokens."""
    names = endpoint.limits
    return next((name for name in names if value(asked.members, name) == asked.most_output_tokens), names[-1])
