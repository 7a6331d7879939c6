"""What a body of `POST /responses` asks for besides a chat's: what came before it, and what isn't in it.

An upstream knows no organizations: whatever it would look up by an id is the organization's own, or refused.
"""

from typing import Any, NamedTuple

import msgspec

from gateway import errors
from gateway.asking import bulk
from gateway.asking.members import Members, value
from gateway.errors import ApiError

Raw = msgspec.Raw

# Tools that the client runs itself. Others the upstream would run: what they cost and read isn't known here.
CLIENTS_TOOLS = ("function", "custom", "apply_patch", "local_shell")
_NULL = b"null"
# What refers to something at the upstream that we can't know whose it is.
_STRANGE = ("conversation", "prompt", "prompt_cache_options")
# Items of which all is in the body; others may be short for much.
_WHOLE = {"message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", None}
_TEXTS = {"input_text", "output_text", "refusal", "summary_text", "reasoning_text", "text"}


class Wanted(NamedTuple):
    """`previous` is the id of the response that goes before, or empty. `unseen`: not all input is in the body."""

    previous: str = ""
    unseen: bool = False
    background: bool = False


class _Item(msgspec.Struct):
    type: str | None = None
    role: Any = None
    result: Any = None
    content: Raw = Raw(_NULL)
    output: Raw = Raw(_NULL)


class _Part(msgspec.Struct):
    type: str = ""
    file_id: Any = None


class _Tool(msgspec.Struct):
    type: str | None = None


_items = msgspec.json.Decoder(list[_Item])
_parts = msgspec.json.Decoder(list[_Part])
_tools = msgspec.json.Decoder(list[_Tool])
NOTHING = Wanted()


def read(members: Members) -> Wanted:
    """Raises ApiError."""
    for name in _STRANGE:
        if bytes(members.get(name, Raw(_NULL))) != _NULL:
            raise errors.bad_request(f"`{name}` isn't offered here. Send what it stands for.", param=name)
    _check_tools(members)
    previous = value(members, "previous_response_id")
    if previous is not None and not isinstance(previous, str):
        raise errors.bad_request("`previous_response_id` has to be a text.", param="previous_response_id")
    background = value(members, "background")
    # 1 is no truth value, but many servers take it for one.
    if background is not None and not isinstance(background, bool):
        raise errors.bad_request("`background` has to be true or false.", param="background")
    if background and value(members, "store") is False:
        raise errors.bad_request("What runs in the background has to be stored.", param="store")
    return Wanted(previous or "", bool(previous) or _has_media(members), background is True)


def not_found(previous: str) -> ApiError:
    """The error where no such response is the organization's own."""
    return errors.bad_request(
        f"Previous response with id '{previous[:100]}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _check_tools(members: Members) -> None:
    bulk.check(bytes(members.get("tools", Raw(_NULL))), "tools")
    try:
        tools = _tools.decode(members["tools"]) if bytes(members.get("tools", Raw(_NULL))) != _NULL else []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.bad_request("`tools` has to be a list of objects.", param="tools") from None
    for tool in tools:
        if tool.type not in CLIENTS_TOOLS:
            known = ", ".join(CLIENTS_TOOLS)
            raise errors.bad_request(f"Tools have to be of a type that you run yourself: {known}.", param="tools")


def _has_media(members: Members) -> bool:
    """Whether the input may have more tokens than bytes. Raises ApiError where it refers to something stored."""
    content = bytes(members.get("input", Raw(_NULL)))
    if content[:1] != b"[":
        return False
    bulk.check(content, "input")
    try:
        # Each is looked at, for what it refers to.
        return max(map(_is_media, _items.decode(content)), default=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.bad_request("`input` has to be a text or a list of items.", param="input") from None


def _is_media(item: _Item) -> bool:
    if _is_reference(item):
        raise _refers("item_reference")
    found = item.type not in _WHOLE
    for raw in (bytes(item.content), bytes(item.output)):
        # Of a computer's screen there is one part.
        parts = _parts.decode(raw if raw[:1] == b"[" else b"[" + raw + b"]") if raw[:1] in (b"[", b"{") else []
        for part in parts:
            if part.file_id is not None:
                raise _refers("file_id")
            found = found or part.type not in _TEXTS
    return found


def _is_reference(item: _Item) -> bool:
    """Whether it is another's id instead of what it stands for: without a type it is that or a message."""
    if item.type is None:
        return item.role is None or bytes(item.content) == _NULL
    return item.type == "item_reference" or (item.type == "image_generation_call" and item.result is None)


def _refers(name: str) -> ApiError:
    return errors.bad_request(f"`{name}` isn't offered here. Send the content itself.", param="input")
