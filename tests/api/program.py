"""A program that shows a key to the management API."""

from typing import Any

import msgspec
from django.test import Client

Answer = tuple[int, dict[str, Any]]


class Program:
    def __init__(self, secret: str) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {secret}"})

    def get(self, path: str, **query: Any) -> Answer:
        answer = self.client.get(f"/api/v1/{path}", query)
        return answer.status_code, answer.json()

    def post(self, path: str, body: dict[str, Any] | bytes = b"", **headers: str) -> Answer:
        return self._send("POST", path, body, headers)

    def patch(self, path: str, **changes: Any) -> Answer:
        return self._send("PATCH", path, changes, {})

    def _send(self, method: str, path: str, body: dict[str, Any] | bytes, headers: dict[str, str]) -> Answer:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        answer = self.client.generic(method, f"/api/v1/{path}", raw, "application/json", headers=headers)
        return answer.status_code, answer.json()  # type: ignore[attr-defined]


def code_of(answer: Answer) -> tuple[int, str | None, str | None]:
    """Status, code and param of an error."""
    status, body = answer
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return status, body["error"]["code"], body["error"]["param"]
