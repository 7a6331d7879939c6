"""What a request's parameters say will be counted, where tokens aren't all: images, characters, search units.

Each function reads the members of a body. Raises ApiError.
"""

import re
from typing import NamedTuple

import msgspec

from billing import estimating
from catalog.parameters import MOST_IMAGES
from gateway import errors
from gateway.asking import bulk
from gateway.asking.members import Members, integer, value

MOST_DOCUMENTS = 10_000
# As rerankers bill: a query with up to a hundred documents, of which long ones count as several.
DOCUMENTS_PER_SEARCH_UNIT, TOKENS_PER_DOCUMENT = 100, 500

# Speech that is compressed as far as it goes, and what most files are: 4 and 128 kbit/s.
LEAST_BYTES_A_SECOND, USUAL_BYTES_A_SECOND = 500, 16_000

# A video whose length isn't named, and the longest.
USUAL_VIDEO_SECONDS, MOST_VIDEO_SECONDS = "4", 600

_WORD = re.compile(r"[A-Za-z0-9.:*_-]{1,30}")
_documents = msgspec.json.Decoder(list[msgspec.Raw])


class Counted(NamedTuple):
    """Meters at most, and the variant that prices them.

    `ours` is our count of what the upstream may report better; None where `usage` is exact.
    """

    usage: dict[str, int]
    variant: str = ""
    ours: dict[str, int] | None = None


NOTHING = Counted({})


def nothing(_members: Members) -> Counted:
    return NOTHING


def one_request(_members: Members) -> Counted:
    """Nothing but the request."""
    return Counted({"requests": 1})


def images(members: Members) -> Counted:
    """`n` images of a size and quality, which are the variant: `1024x1024-hd`."""
    named = [_word(members, name) for name in ("size", "quality")]
    return Counted({"images": integer(members, "n", 1, MOST_IMAGES) or 1}, "-".join(word for word in named if word))


def characters(members: Members) -> Counted:
    """The text that is to be spoken."""
    text = value(members, "input")
    if not isinstance(text, str) or not text:
        raise errors.bad_request("`input` has to be the text that is to be spoken.", param="input")
    if value(members, "stream_format") not in (None, "audio"):
        raise errors.bad_request("Speech is answered as audio alone: `stream_format` audio.", param="stream_format")
    return Counted({"characters": len(text)})


def search_units(members: Members) -> Counted:
    bulk.check(bytes(members.get("documents", b"")), "documents")
    try:
        documents = [bytes(document) for document in _documents.decode(members.get("documents", b""))]
    except (msgspec.MsgspecError, RecursionError):
        documents = []
    if not 0 < len(documents) <= MOST_DOCUMENTS:
        raise errors.bad_request(f"`documents` has to be a list of 1 to {MOST_DOCUMENTS}.", param="documents")
    parts = sum(-(-estimating.tokens(len(document)) // TOKENS_PER_DOCUMENT) for document in documents)
    # A token has at least a byte, and the query counts with each document.
    query = len(bytes(members.get("query", b"")))
    most = sum(-(-(len(document) + query) // TOKENS_PER_DOCUMENT) for document in documents)
    counts = [{"search_units": -(-one // DOCUMENTS_PER_SEARCH_UNIT)} for one in (most, parts)]
    return Counted(counts[0], ours=counts[1])


def seconds(size: int) -> Counted:
    """Of audio in a file of that many bytes."""
    return Counted({"seconds": -(-size // LEAST_BYTES_A_SECOND)}, ours={"seconds": -(-size // USUAL_BYTES_A_SECOND)})


def video_seconds(members: Members) -> Counted:
    """How long it will be, at a size, which is the variant. Lengths come as text."""
    named = value(members, "seconds")
    if named is None:
        named = USUAL_VIDEO_SECONDS
    length = int(named) if isinstance(named, str) and named.isascii() and named.isdigit() and len(named) < 5 else named
    if isinstance(length, bool) or not isinstance(length, int) or not 0 < length <= MOST_VIDEO_SECONDS:
        raise errors.bad_request(f"`seconds` has to be a number from 1 to {MOST_VIDEO_SECONDS}.", param="seconds")
    reference = value(members, "input_reference")
    if "input_reference[file_id]" in members or (isinstance(reference, dict) and reference.get("file_id") is not None):
        raise errors.bad_request("`file_id` isn't offered here. Send the picture itself.", param="input_reference")
    return Counted({"seconds": length}, _word(members, "size"))


def _word(members: Members, name: str) -> str:
    found = value(members, name)
    if found is None or found == "auto":
        return ""
    # With a space it would be no variant that has a price, and to a generous upstream the same size.
    if not isinstance(found, str) or not _WORD.fullmatch(found):
        raise errors.bad_request(f"`{name}` has to be a short text of letters, digits and signs.", param=name)
    return found
