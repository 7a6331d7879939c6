"""`/v1/embeddings`: vectors of unit length that depend on the text alone."""

import base64
import hashlib
import math
import random
import struct

from devstack.modelserver.answer import Json, count
from devstack.modelserver.directives import Behaviour, Directives

DIMENSIONS = 1536
MOST_DIMENSIONS = 8192


def read_inputs(body: Json) -> list[str]:
    """The texts to embed. Raises ValueError if there are none."""
    given = body.get("input")
    inputs = given if isinstance(given, list) else [given]
    if not inputs or not all(isinstance(text, str) and text for text in inputs):
        raise ValueError("input: a non-empty string or a list of them is expected")
    return list(inputs)


def embeddings(body: Json, inputs: list[str], directives: Directives) -> Json:
    """OpenAI's list of embeddings, with numbers or base64 of little-endian 32-bit floats."""
    size = int(body.get("dimensions") or DIMENSIONS)
    if not 0 < size <= MOST_DIMENSIONS:
        raise ValueError(f"dimensions: 1 to {MOST_DIMENSIONS} are expected")
    as_base64 = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": encoded(vector(text, size), as_base64=as_base64)}
        for index, text in enumerate(inputs)
    ]
    answer: Json = {"object": "list", "data": data, "model": body.get("model")}
    if not directives.nousage:
        tokens = directives.usage[0] if directives.usage else sum(count(text) for text in inputs)
        answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return answer


def directives_of(inputs: list[str], behaviour: Behaviour) -> Directives:
    return behaviour.next(inputs[-1])


def vector(text: str, size: int) -> list[float]:
    source = random.Random(hashlib.sha256(text.encode()).digest())
    raw = [source.gauss(0, 1) for _ in range(size)]
    length = math.sqrt(sum(part * part for part in raw))
    return [part / length for part in raw]


def encoded(numbers: list[float], *, as_base64: bool) -> list[float] | str:
    if not as_base64:
        return numbers
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
