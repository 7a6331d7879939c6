"""A form that was already sent doesn't act again: for acts whose result can't be shown twice."""

from uuid import UUID

from django.http import HttpRequest

SESSION_KEY = "done"
REMEMBERED = 20


def first_time(request: HttpRequest, operation: UUID) -> bool:
    """Whether this session sends the operation for the first time; from now on it did."""
    done: list[str] = request.session.get(SESSION_KEY, [])
    if str(operation) in done:
        return False
    request.session[SESSION_KEY] = [*done, str(operation)][-REMEMBERED:]
    return True
