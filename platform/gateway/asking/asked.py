"""A request's body: what it asks for, and the most that it can cost.

Its members stay raw JSON: building objects of ten megabytes would stop everybody else's requests for seconds.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
from aiohttp import FormData

from billing import estimating
from billing.rate_card import Priced
from billing.rating import dearest, worst_case
from gateway import errors
from gateway.asking import bulk, counting, detours, references, responses, unseen
from gateway.asking.counting import Counted
from gateway.asking.endpoints import COMPLETIONS, RESPONSES, VIDEOS, Endpoint
from gateway.asking.forms import Form, read_form
from gateway.asking.members import Members, integer, value
from gateway.offering.offer import OfferedModel

Raw = msgspec.Raw

# Besides the bytes of the body: what a chat template adds.
TEMPLATE_TOKENS = 64
MOST_CHOICES = 128
MOST_PROMPTS = 2048
# A stream without a limit of its own holds so many output tokens, and so many more each time they are used up.
STREAM_STEP_TOKENS = 1024

# A transcript that isn't JSON.
TEXTS = ("text", "srt", "vtt")
_INPUTS = ("messages", "prompt", "input", "instructions", "query", "documents", "tools", "functions")
_TEXT = {"text", "refusal", "tool_use"}
_members = msgspec.json.Decoder(Members)
_prompts = msgspec.json.Decoder(list[Raw])


class _Message(msgspec.Struct):
    content: Raw = Raw(b"null")
    audio: Raw = Raw(b"null")

    def texts(self) -> list[str]:
        """What it says, in its parts too. Raises MsgspecError where that is nothing known."""
        content = bytes(self.content)
        if content[:1] != b"[":
            return [_text.decode(content) or ""]
        return [part.text for part in _parts.decode(content) if part.type == "text" and isinstance(part.text, str)]


class _Part(msgspec.Struct):
    type: str = ""
    text: Any = None


_messages = msgspec.json.Decoder(list[_Message])
_parts = msgspec.json.Decoder(list[_Part])
_text = msgspec.json.Decoder(str | None)


@dataclass(frozen=True)
class Asked:
    """A validated body. `members` is what was sent; `wants_usage` whether the stream's last chunk was asked for.

    `counted` is what its parameters count.
    """

    members: Members
    size: int
    model: str
    stream: bool
    wants_usage: bool
    choices: int
    most_output_tokens: int | None
    counted: Counted
    form: Form | None = None
    # Whether the upstream keeps the answer.
    kept: bool = False
    response: responses.Wanted = responses.NOTHING
    # Whether the upstream may go on with it after it was answered: then its answer has to be known, whoever has gone.
    goes_on: bool = False

    def changed(self, members: Members, counted: Counted) -> "Asked":
        """The same with other members that count otherwise."""
        # Every chat passes here: `dataclasses.replace` takes many times as long.
        made = object.__new__(Asked)
        made.__dict__.update(self.__dict__, members=members, counted=counted)
        return made

    def input_bytes(self) -> int:
        """Bytes of what goes in, for our own count."""
        return sum(estimating.input_bytes(bytes(self.members[name])) for name in _INPUTS if name in self.members)

    def text_bytes(self) -> int:
        """Bytes of the text that a model has to read at once: of all messages, or of the longest prompt."""
        try:
            texts = [
                one for message in _messages.decode(self.members.get("messages", b"[]")) for one in message.texts()
            ]
            prompt = bytes(self.members.get("prompt", b"null"))
            several = prompt[:1] == b"[" and not bulk.are_tokens(prompt)
            prompts = _prompts.decode(prompt) if several else [prompt]
            longest = max((_size(_text.decode(one) or "") for one in prompts if bytes(one)[:1] == b'"'), default=0)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return 0
        return sum(map(_size, texts)) + longest

    def output_limit(self, model: OfferedModel) -> int:
        """Output tokens that the request allows, over all of its choices."""
        return (self.most_output_tokens or model.max_output_tokens) * self.choices

    def covered_output(self, endpoint: Endpoint, model: OfferedModel) -> int:
        """Output tokens to set money aside for: all, or the first step of a stream whose length nobody limited.

        Reasoning that isn't shown can't be followed while it grows: then all from the start.
        """
        if not endpoint.writes:
            return 0
        limit = self.output_limit(model)
        # What runs in the background goes on when nobody listens.
        grows = self.stream and not self.response.background and not model.hides_reasoning
        grows = grows and self.most_output_tokens is None
        return min(limit, STREAM_STEP_TOKENS) if grows else limit

    def estimated_input(self) -> int:
        """Input tokens by our count."""
        return estimating.tokens(self.input_bytes())

    def estimated_tokens(self) -> int:
        """What token limits take at admission: the input by our count, and the output where its length was limited."""
        return self.estimated_input() + (self.most_output_tokens or 0) * self.choices

    def most_input(self, model: OfferedModel) -> int:
        """Input tokens that it can be at most: a token is at least a byte of the body."""
        # An image behind a link is a few bytes here and many tokens there; so is what was said before.
        is_short = self.response.unseen or self._has_media
        return (max(self.size, model.context_window) if is_short else self.size) + TEMPLATE_TOKENS

    def hold_nanos(self, endpoint: Endpoint, model: OfferedModel, priced: Priced) -> int:
        """The worst case, with the output as long as what is covered."""
        return held(self.most_input(model), self.covered_output(endpoint, model), self.counted, priced)

    @property
    def answer_is_bytes(self) -> bool:
        """Whether a transcript is asked for as text, not as JSON."""
        return self.form is not None and value(self.members, "response_format") in TEXTS

    def for_upstream(self, endpoint: Endpoint, model: OfferedModel, upstream_model: str) -> bytes | FormData:
        """The body for a route: its own name of the model, usage always asked for, and never more than was held."""
        told = {"seconds": str(self.counted.usage["seconds"])} if endpoint is VIDEOS else {}
        if self.form:
            return self.form.for_upstream({"model": upstream_model, **told}, without=frozenset({"stream"}))
        changes: dict[str, Any] = {"model": upstream_model, **told}
        if not self.stream and "stream" in self.members:
            changes["stream"] = False
        if self.stream and endpoint is not RESPONSES:
            options = value(self.members, "stream_options")
            rest = options.items() if isinstance(options, dict) else ()
            kept = {name: told for name, told in rest if name.casefold() != "include_usage"}
            changes["stream_options"] = {**kept, "include_usage": True}
        if endpoint.has_output and self.most_output_tokens is None:
            room = model.context_window - self.estimated_input()
            changes[endpoint.limits[-1]] = max(1, min(model.max_output_tokens, room))
        return msgspec.json.encode({**self.members, **changes})

    @cached_property
    def _has_media(self) -> bool:
        """Whether it may have a part that isn't text: what can't be read counts as one."""
        if self.form:
            return bool(self.form.files)
        if unseen.is_filled_in(self.members):
            return True
        # What is embedded is texts or tokens, or else links to something. Responses judge their input themselves.
        if self.response is responses.NOTHING and bulk.has_objects(bytes(self.members.get("input", b""))):
            return True
        try:
            messages = _messages.decode(self.members.get("messages", b"[]"))
            return any(bytes(message.audio) != b"null" or not _is_text(bytes(message.content)) for message in messages)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return True


def _is_text(content: bytes) -> bool:
    """Whether a content is a text, none, or a list of texts. Raises MsgspecError where it is nothing known."""
    return content[:1] in (b'"', b"n") or all(part.type in _TEXT for part in _parts.decode(content))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def read(body: bytes, endpoint: Endpoint, content_type: str = "") -> Asked:
    """Validate what decides on permission and money; the rest is the upstream's to judge. Raises ApiError."""
    form = _form(body, endpoint, content_type) if endpoint.form else None
    if endpoint.may_be_form and content_type.startswith("multipart/"):
        form = read_form(body, content_type)
    members = form.members() if form else _json(body)
    detours.check(members)
    if "messages" in members:
        references.check(members)
    model = value(members, "model")
    if not isinstance(model, str) or not 0 < len(model) <= 200:
        raise errors.bad_request("You must provide a model parameter, a string.", param="model")
    stream = value(members, "stream")
    if stream is None:
        stream = False
    if not isinstance(stream, bool):
        raise errors.bad_request("`stream` has to be true or false.", param="stream")
    options = value(members, "stream_options")
    response = responses.read(members) if endpoint is RESPONSES else responses.NOTHING
    return Asked(
        members=members,
        size=len(body) - (form.file_bytes if form else 0),
        model=model,
        stream=stream and endpoint.has_output,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        choices=_choices(members, endpoint),
        most_output_tokens=_most_output_tokens(members, endpoint) if endpoint.has_output else None,
        counted=counting.seconds(form.file_bytes) if form and endpoint.heard else endpoint.counted(members),
        form=form,
        kept=endpoint.keeps(members),
        response=response,
        goes_on=endpoint is VIDEOS or response.background,
    )


def _json(body: bytes) -> Members:
    try:
        # Of what stays raw the decoder doesn't look at the encoding.
        body.decode()
        return _members.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.NOT_JSON from None


def _form(body: bytes, endpoint: Endpoint, content_type: str) -> Form:
    form = read_form(body, content_type)
    if not any(field in (endpoint.form, f"{endpoint.form}[]") for field, *_ in form.files):
        raise errors.bad_request(f"The form has no file `{endpoint.form}`.", param=endpoint.form)
    return form


def held(input_tokens: int, output_tokens: int, counted: Counted, priced: Priced) -> int:
    """The most that it costs, nano-dollars: tokens, and of what is counted that which has a price."""
    # The worst case has the request itself.
    units = {meter: most for meter, most in counted.usage.items() if meter != "requests"}
    most = worst_case(input_tokens, output_tokens, *priced)
    return most + dearest(units, input_tokens, *priced, counted.variant) if units else most


def _choices(members: Members, endpoint: Endpoint) -> int:
    """How many answers will be written: `n` (`best_of`, where larger), for each prompt of a completion."""
    if not endpoint.writes or endpoint is RESPONSES:
        return 1
    wanted = max(integer(members, "n", 1, MOST_CHOICES) or 1, integer(members, "best_of", 1, MOST_CHOICES) or 1)
    return wanted * _prompt_count(members) if endpoint is COMPLETIONS else wanted


def _prompt_count(members: Members) -> int:
    found = bulk.prompts(bytes(members.get("prompt", b"")), MOST_PROMPTS)
    if found > MOST_PROMPTS:
        raise errors.bad_request(f"`prompt` has at most {MOST_PROMPTS} prompts.", param="prompt")
    return found


def _most_output_tokens(members: Members, endpoint: Endpoint) -> int | None:
    limits = [integer(members, name, 1, 10**9) for name in endpoint.limits]
    return max((limit for limit in limits if limit is not None), default=None)
