"""Files that a chat's messages name by an id: an upstream knows no organizations, and would read anybody's."""

from typing import Any

import msgspec

from gateway import errors
from gateway.asking import bulk
from gateway.asking.members import Members

Raw = msgspec.Raw


class _Message(msgspec.Struct):
    content: Raw = Raw(b"null")


class _Part(msgspec.Struct):
    file: Any = None
    file_id: Any = None

    @property
    def names_a_file(self) -> bool:
        inner = self.file.get("file_id") if isinstance(self.file, dict) else None
        return self.file_id is not None or inner is not None


_messages = msgspec.json.Decoder(list[_Message])
_parts = msgspec.json.Decoder(list[_Part])


def check(members: Members) -> None:
    """Raises ApiError where there is one. `messages` has to be there."""
    raw = bytes(members["messages"])
    bulk.check(raw, "messages")
    # Hardly any chat has them; a letter of the name may be escaped.
    if b"file_id" not in raw and b"\\u00" not in raw:
        return
    try:
        contents = [bytes(message.content) for message in _messages.decode(raw)]
        found = any(part.names_a_file for content in contents for part in _parts_of(content))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise errors.bad_request("`messages` has to be a list of messages.", param="messages") from None
    if found:
        raise errors.bad_request("`file_id` isn't offered here. Send the content itself.", param="messages")


def _parts_of(content: bytes) -> list[_Part]:
    if content[:1] not in (b"[", b"{"):
        return []
    return _parts.decode(content if content[:1] == b"[" else b"[" + content + b"]")
