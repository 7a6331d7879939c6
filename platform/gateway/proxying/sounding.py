"""An answer that is bytes, such as speech or subtitles: passed on as it comes."""

from typing import TYPE_CHECKING

import aiohttp

from gateway import errors
from gateway.upstreams.upstream import UpstreamError, type_of

if TYPE_CHECKING:
    from gateway.proxying.running import Running

KINDS = ("audio/", "application/octet-stream", "text/", "application/x-subrip")


async def pass_on(running: "Running", response: aiohttp.ClientResponse) -> None:
    """Pass the upstream's bytes to the client. Raises UpstreamError, ClientGoneError."""
    # A page is what a proxy answers that isn't the upstream.
    if not response.content_type.startswith(KINDS) or response.content_type == "text/html":
        raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
    outgoing, progress = running.outgoing, running.progress
    async for content in response.content.iter_any():
        if not outgoing.started:
            await outgoing.start(200, type_of(response))
        await outgoing.write(content)
    if not outgoing.started:
        raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
    progress.finished = progress.answered = True
    running.log()
    await outgoing.write(b"", more=False)
