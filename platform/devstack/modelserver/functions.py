"""Calling functions, as models do: the first tool is called where the last message is the user's.

Each required argument is the first of its `enum`, else the last word of the message without its punctuation.
"""

import json
from typing import Any

Json = dict[str, Any]


def call_of(body: Json, said: str) -> Json | None:
    """OpenAI's `tool_calls` entry; None where the model answers with words."""
    tools, messages = body.get("tools"), body.get("messages")
    if not isinstance(tools, list) or not tools or body.get("tool_choice") == "none":
        return None
    if not isinstance(messages, list) or messages[-1].get("role") != "user":
        return None
    function = tools[0]["function"]
    parameters = function.get("parameters") or {}
    properties: Json = parameters.get("properties") or {}
    word = (said.split() or [""])[-1].strip("?!.,")
    given = {name: (properties.get(name, {}).get("enum") or [word])[0] for name in parameters.get("required", ())}
    arguments = json.dumps(given)
    return {"id": "call_demo", "type": "function", "function": {"name": function["name"], "arguments": arguments}}
