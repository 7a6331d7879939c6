"""The stream of a response: typed events, the last of which has the usage."""

from typing import Any

import orjson
from django.conf import settings

from billing import estimating
from gateway import errors
from gateway.http import events
from gateway.proxying.streaming import MOST_BYTES_PER_TOKEN, Stream
from gateway.stored.endings import OUTCOMES
from gateway.upstreams.hiding import hidden_error
from gateway.upstreams.upstream import UpstreamError

# Events after which nothing comes, and what they are to the usage log.
ENDS = {f"response.{status}": outcome for status, outcome in OUTCOMES.items()}


class ResponseStream(Stream):
    end = b""

    def _pass(self, event: bytes) -> bytes:
        data = events.data(event)
        if data is None or self._done or data == b"[DONE]":
            return event if event.startswith(b":") else b""
        told = orjson.loads(data)
        kind = told.get("type") if isinstance(told, dict) else None
        # An `error` tells of the upstream.
        if not isinstance(kind, str) or not kind.isprintable() or kind == "error" or told.get("error") is not None:
            raise UpstreamError(errors.UPSTREAM_BROKEN, "upstream_error")
        response = told.get("response")
        if isinstance(response, dict):
            self._note(kind, response)
        self._progress.output_bytes += estimating.output_bytes(told)
        if self._progress.output_bytes > MOST_BYTES_PER_TOKEN * self._limit + self._running.asked.size:
            raise UpstreamError(errors.HOLD_EXHAUSTED, "hold_exhausted")
        return typed(told)

    def _note(self, kind: str, response: dict[str, Any]) -> None:
        if response.get("error") is not None:
            response["error"] = hidden_error(response["error"], self._running.route)
        self._running.note_id(response.get("id"))
        if "model" in response and settings.DIALECT.answered_model == "asked":
            response["model"] = self._running.asked.model
        if self._progress.left:
            # Its end is the caretaker's to judge.
            self._progress.finished = self._done = kind in ENDS
        elif kind in ENDS:
            self._progress.reported = self._running.reported(response.get("usage"))
            self._progress.finished = self._done = True
            if self._progress.outcome == "completed":
                self._progress.outcome = ENDS[kind]


def typed(told: dict[str, Any]) -> bytes:
    """An event as it goes to the client."""
    return b"event: " + str(told["type"]).encode() + b"\ndata: " + events.dumped(told) + b"\n\n"
