"""A request's body: what it asks for, and the most that it can cost."""

from dataclasses import dataclass
from typing import Any

import orjson

from billing.rating import Tariff, worst_case
from gateway import errors, metering
from gateway.endpoints import CHAT, Endpoint
from gateway.offer import OfferedModel

# Besides the bytes of the body: what a chat template adds.
TEMPLATE_TOKENS = 64
MOST_CHOICES = 128
# A stream without a limit of its own holds so many output tokens, and so many more each time they are used up.
STREAM_STEP_TOKENS = 1024


@dataclass(frozen=True)
class Asked:
    """A validated body. `fields` is what was sent; `wants_usage` whether the stream's last chunk was asked for."""

    fields: dict[str, Any]
    size: int
    model: str
    stream: bool
    wants_usage: bool
    choices: int
    most_output_tokens: int | None

    def input_bytes(self) -> int:
        """Bytes of text in what goes in, for our own count."""
        return sum(metering.text_bytes(self.fields.get(name)) for name in ("messages", "prompt", "input"))

    def output_limit(self, model: OfferedModel) -> int:
        """Output tokens that the request allows, over all of its choices."""
        return (self.most_output_tokens or model.max_output_tokens) * self.choices

    def covered_output(self, endpoint: Endpoint, model: OfferedModel) -> int:
        """Output tokens to set money aside for: all, or the first step of a stream whose length nobody limited."""
        if not endpoint.has_output:
            return 0
        limit = self.output_limit(model)
        return min(limit, STREAM_STEP_TOKENS) if self.stream and self.most_output_tokens is None else limit

    def estimated_tokens(self) -> int:
        """What token limits take at admission: the input by our count, and the output where its length was limited."""
        return metering.tokens(self.input_bytes()) + (self.most_output_tokens or 0) * self.choices

    def hold_nanos(self, endpoint: Endpoint, model: OfferedModel, tariff: Tariff) -> int:
        """The worst case: a token is at least a byte of the body, and the output as long as what is covered."""
        output = self.covered_output(endpoint, model)
        # An image behind a link is a few bytes here and many tokens there.
        most_input = max(self.size, model.context_window) if self._has_media() else self.size
        return worst_case(most_input + TEMPLATE_TOKENS, output, tariff)

    def _has_media(self) -> bool:
        """Whether a message has a part that isn't text."""
        messages = self.fields.get("messages")
        contents = [message.get("content") for message in _objects(messages)]
        return any(part.get("type") != "text" for content in contents for part in _objects(content))

    def for_upstream(self, endpoint: Endpoint, upstream_model: str) -> bytes:
        """The body for a route: the model's name there, and the usage of a stream always asked for."""
        fields = {**self.fields, "model": upstream_model}
        if self.stream and endpoint.has_output:
            options = fields.get("stream_options")
            fields["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        return orjson.dumps(fields)


def read(body: bytes, endpoint: Endpoint) -> Asked:
    """Validate what decides on permission and money; the rest is the upstream's to judge. Raises ApiError."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.NOT_JSON from None
    if not isinstance(fields, dict):
        raise errors.NOT_JSON
    model = fields.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= 200:
        raise errors.bad_request("You must provide a model parameter, a string.", param="model")
    stream = fields.get("stream") or False
    if not isinstance(stream, bool):
        raise errors.bad_request("`stream` has to be true or false.", param="stream")
    options = fields.get("stream_options")
    return Asked(
        fields=fields,
        size=len(body),
        model=model,
        stream=stream and endpoint.has_output,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        choices=_choices(fields, endpoint),
        most_output_tokens=_most_output_tokens(fields) if endpoint.has_output else None,
    )


def check_limits(asked: Asked, model: OfferedModel) -> None:
    """Raises ApiError where the request asks for more than the model has."""
    most = asked.most_output_tokens
    if most is not None and most > model.max_output_tokens:
        raise errors.bad_request(
            f"max_tokens is too large: {most}. This model supports at most {model.max_output_tokens} output tokens.",
            param="max_tokens",
        )


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _choices(fields: dict[str, Any], endpoint: Endpoint) -> int:
    """How many answers will be written: `n` (`best_of`, where larger), for each prompt of a completion."""
    if not endpoint.has_output:
        return 1
    wanted = max(_integer(fields, "n", 1, MOST_CHOICES) or 1, _integer(fields, "best_of", 1, MOST_CHOICES) or 1)
    prompt = fields.get("prompt")
    several = endpoint is not CHAT and isinstance(prompt, list) and prompt and not isinstance(prompt[0], int)
    return wanted * (len(prompt) if several and isinstance(prompt, list) else 1)


def _most_output_tokens(fields: dict[str, Any]) -> int | None:
    limits = [_integer(fields, name, 1, 10**9) for name in ("max_completion_tokens", "max_tokens")]
    return max((limit for limit in limits if limit is not None), default=None)


def _integer(fields: dict[str, Any], name: str, least: int, most: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise errors.bad_request(f"`{name}` has to be an integer from {least} to {most}.", param=name)
    return value
