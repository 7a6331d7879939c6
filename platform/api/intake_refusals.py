"""How usage that can't be taken is refused, by whichever way it comes."""

from collections.abc import Iterator
from contextlib import contextmanager

from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError

from billing.intake import IntakeError, OtherContentError
from billing.unpacking import TooLargeError, UnpackingError


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT


@contextmanager
def refusing() -> Iterator[None]:
    """What the intake says as an answer: nothing is stored then."""
    try:
        yield
    except TooLargeError as error:
        raise TooLarge(str(error)) from error
    except OtherContentError as error:
        raise Conflict(str(error)) from error
    except (UnpackingError, IntakeError) as error:
        raise ValidationError({"detail": str(error)}) from error
