"""OpenAI's errors."""

from devstack.modelserver.answer import Json


def error_body(message: str, kind: str, code: str | None = None) -> Json:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
