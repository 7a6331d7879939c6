"""Whether an upstream keeps what a request makes: then its id is bound to who asked. Each function reads a body."""

from gateway.asking.members import Members, value


def never(_members: Members) -> bool:
    return False


def where_asked(members: Members) -> bool:
    """As chat completions: `store` has to say so."""
    return value(members, "store") is True


def unless_declined(members: Members) -> bool:
    """As responses: `store` may say that it isn't wanted."""
    return value(members, "store") is not False


def always(_members: Members) -> bool:
    return True
