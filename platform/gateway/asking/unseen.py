"""Whether an upstream may read more than the body has: then nobody knows how long its input is."""

import msgspec

from gateway.asking.members import Members

# Searches, files and templates that fill in what comes before the question.
_FILLED_IN = frozenset(
    {
        "chat_template",
        "data_sources",
        "enable_search",
        "plugins",
        "search_parameters",
        "web_search",
        "web_search_options",
    }
)
_CLIENTS_TOOLS = {"function", "custom"}


class _Tool(msgspec.Struct):
    type: str = "function"


_tools = msgspec.json.Decoder(list[_Tool] | None)


def is_filled_in(members: Members) -> bool:
    """Whether it asks for a search or the like, or has a tool that the upstream would run itself."""
    if not _FILLED_IN.isdisjoint(members):
        return True
    if "tools" not in members:
        return False
    try:
        return any(tool.type not in _CLIENTS_TOOLS for tool in _tools.decode(members["tools"]) or ())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return True
