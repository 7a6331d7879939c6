"""Pictures, speech and what it says, moderations and rerank: deterministic, and small.

Every picture is the same grey pixel. Speech is one byte for each character. A text is flagged where it has the word
`bad`; a document's relevance is the share of the query's words that it has.
"""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from devstack.modelserver.answer import TOKENS_OF_A_PICTURE, count
from devstack.modelserver.directives import Directives
from devstack.modelserver.generation import CREATED, PIXEL

Json = dict[str, Any]
Answers = Callable[[Json, Directives], web.Response]


def text(body: Json) -> str:
    """Where directives are looked for."""
    return " ".join(str(body.get(name, "")) for name in ("prompt", "input", "query"))


def images(body: Json, asked: Directives) -> web.Response:
    many = int(body.get("n") or 1)
    tokens = count(str(body.get("prompt", "")))
    usage = {
        "input_tokens": tokens,
        "output_tokens": TOKENS_OF_A_PICTURE * many,
        "total_tokens": tokens + TOKENS_OF_A_PICTURE * many,
        "input_tokens_details": {"text_tokens": tokens, "image_tokens": 0},
    }
    answer: Json = {"created": CREATED, "data": [{"b64_json": PIXEL} for _ in range(many)]}
    return web.json_response(answer if asked.nousage else {**answer, "usage": usage})


def speech(body: Json, _asked: Directives) -> web.Response:
    return web.Response(body=b"s" * len(str(body["input"])), content_type="audio/mpeg")


def moderations(body: Json, _asked: Directives) -> web.Response:
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    flags = ["bad" in str(one).split() for one in inputs]
    results = [
        {"flagged": flag, "categories": {"bad": flag}, "category_scores": {"bad": float(flag)}} for flag in flags
    ]
    return web.json_response({"id": "modr-demo", "model": body["model"], "results": results})


def rerank(body: Json, asked: Directives) -> web.Response:
    wanted = set(str(body["query"]).split())
    scores = [len(wanted & set(str(document).split())) / len(wanted) for document in body["documents"]]
    ranked = sorted(range(len(scores)), key=lambda place: -scores[place])[: body.get("top_n")]
    answer: Json = {
        "id": "rerank-demo",
        "results": [{"index": place, "relevance_score": scores[place]} for place in ranked],
    }
    billed = {"billed_units": {"search_units": -(-len(scores) // 100)}}
    return web.json_response(answer if asked.nousage else {**answer, "meta": billed})


def transcription(body: Json, asked: Directives) -> web.Response:
    """The text is what the file says, as UTF-8; a second is ten bytes long."""
    said = bytes(body["file"]).decode()
    seconds = -(-len(said) // 10)
    wanted = body.get("response_format", "json")
    if wanted in ("text", "srt", "vtt"):
        return web.Response(text=said, content_type="text/plain")
    if wanted == "verbose_json":
        return web.json_response({"task": "transcribe", "language": "en", "duration": seconds - 0.5, "text": said})
    answer: Json = {"text": said}
    return web.json_response(answer if asked.nousage else {**answer, "usage": {"type": "duration", "seconds": seconds}})


ANSWERS: dict[str, Answers] = {
    "/v1/images/generations": images,
    "/v1/images/edits": images,
    "/v1/images/variations": images,
    "/v1/audio/speech": speech,
    "/v1/audio/transcriptions": transcription,
    "/v1/moderations": moderations,
    "/v1/rerank": rerank,
}
