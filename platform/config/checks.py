"""System checks of the settings, and the refusal to serve with bad ones."""

import sys
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks

SETTINGS = "settings"
HINT = "Set {name} in the environment; the README's table says how."


@checks.register(SETTINGS)
def settings_are_complete(**_kwargs: Any) -> list[checks.CheckMessage]:
    """One error per setting that is missing or cannot be read."""
    import config.settings  # noqa: F401  (fills env.problems)
    from config import env

    return [checks.Error(what, hint=HINT.format(name=name), id="keymeter.E001") for name, what in env.problems]


def refuse_bad_settings(*, needs: Sequence[str] = ()) -> None:
    """Exit with status 2 and a sentence per problem where a setting is missing or malformed.

    `needs` are settings that only this process can't do without.
    """
    problems = checks.run_checks(tags=[SETTINGS])
    for name in needs:
        if not getattr(settings, name):
            problems.append(checks.Error(f"{name} is not set", hint=HINT.format(name=name), id="keymeter.E001"))
    for problem in problems:
        print(f"{problem.id}: {problem.msg}. {problem.hint}", file=sys.stderr)  # noqa: T201
    if problems:
        sys.exit(2)
