"""An error as the dialect says it: what is sent is made here alone."""

from dataclasses import dataclass

import orjson
from django.conf import settings
from msgspec import UNSET

from config.dialect import Dialect, Rule
from gateway.errors import ApiError

_AS_IT_IS = Rule()


@dataclass(frozen=True)
class Spoken:
    """What the client gets; `body` is the JSON object as bytes."""

    status: int
    type: str
    code: str | None
    message: str
    param: str | None
    headers: dict[str, str]

    @property
    def body(self) -> bytes:
        return orjson.dumps({"error": self.told})

    @property
    def told(self) -> dict[str, str | None]:
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}


def spoken(error: ApiError) -> Spoken:
    """The error in the dialect of this installation."""
    return in_dialect(error, settings.DIALECT)


def in_dialect(error: ApiError, dialect: Dialect) -> Spoken:
    """The case's own rule goes before what holds for all errors of a status."""
    said = dialect.errors
    rule = said.cases.get(error.case, _AS_IT_IS)
    status = error.status if rule.status is UNSET else rule.status
    type_ = said.types.get(status, error.type) if rule.type is UNSET else rule.type
    code = next((one for one in (rule.code, said.code) if one is not UNSET), error.code)
    return Spoken(status, type_, code, error.message, error.param, error.headers)
