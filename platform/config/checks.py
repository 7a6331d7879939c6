"""System checks of the settings, and the refusal to serve with bad ones."""

import sys
from typing import Any

from django.core import checks


@checks.register
def settings_are_complete(**_kwargs: Any) -> list[checks.CheckMessage]:
    """One error per setting that is missing or cannot be read."""
    import config.settings  # noqa: F401  (fills env.problems)
    from config import env

    return [
        checks.Error(what, hint=f"Set {name} in the environment; the README's table says how.", id="keymeter.E001")
        for name, what in env.problems
    ]


def refuse_bad_settings() -> None:
    """Exit with status 2 and a sentence per problem where a setting is missing or malformed."""
    problems = settings_are_complete()
    for problem in problems:
        print(f"{problem.id}: {problem.msg}. {problem.hint}", file=sys.stderr)  # noqa: T201
    if problems:
        sys.exit(2)
