"""An answer in one piece: read, metered, and passed on under the name that the client asked by."""

from typing import TYPE_CHECKING

import aiohttp
import msgspec
from django.conf import settings

from billing import estimating
from gateway import errors
from gateway.asking import drawing
from gateway.asking.endpoints import Endpoint
from gateway.stored.endings import UNFINISHED
from gateway.upstreams.upstream import UpstreamError, decoded, read_answer

if TYPE_CHECKING:
    from gateway.proxying.running import Running

Answer = dict[str, msgspec.Raw]


async def pass_on(running: "Running", response: aiohttp.ClientResponse) -> None:
    """Pass the upstream's answer to the client. Raises UpstreamError, ClientGoneError."""
    endpoint, progress = running.endpoint, running.progress
    answer = await read_answer(response, endpoint.answers, running.route)
    _meter(running, answer)
    if "model" in answer and settings.DIALECT.answered_model == "asked":
        answer["model"] = msgspec.Raw(msgspec.json.encode(running.asked.model))
    status = decoded(answer.get("status", b"null")) if endpoint.goes_on else None
    if not isinstance(status, str | None):
        raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
    if status == "failed":
        progress.outcome = "upstream_error"
    running.note_id(decoded(answer["id"]) if "id" in answer else None)
    await running.bind()
    if status in UNFINISHED:
        if not progress.stored_id:
            raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
        await running.leave()
    progress.finished = progress.answered = True
    running.log()
    await running.outgoing.whole(200, msgspec.json.encode(answer))


def _meter(running: "Running", answer: Answer) -> None:
    endpoint, progress = running.endpoint, running.progress
    told = answer.get("usage") or answer.get("meta") or _length_of(answer)
    if told is not None:
        progress.reported = running.reported(decoded(told))
    progress.pictures = _pictures(endpoint, answer)
    if progress.reported is None and endpoint.has_output:
        progress.output_bytes = estimating.output_bytes(decoded(msgspec.json.encode(answer)))


def _length_of(answer: Answer) -> bytes | None:
    """A transcript's `duration`, as a report."""
    return b'{"seconds":' + bytes(answer["duration"]) + b"}" if "duration" in answer and "text" in answer else None


def _pictures(endpoint: Endpoint, answer: Answer) -> int:
    if endpoint.writes == "pictures":
        made = decoded(answer["data"])
        return len(made) if isinstance(made, list) else 0
    choices = answer.get("choices", msgspec.Raw(b"[]"))
    return drawing.pictures(decoded(choices)) if drawing.may_have_pictures(bytes(choices)) else 0
