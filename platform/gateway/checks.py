"""What only the gateway knows to be wrong with the settings."""

from typing import Any

from django.conf import settings
from django.core import checks

from config.checks import HINT, SETTINGS
from gateway.asking.endpoints import BY_NAME
from gateway.errors import CASES


@checks.register(SETTINGS)
def dialects_cases_are_known(**_kwargs: Any) -> list[checks.CheckMessage]:
    unknown = ", ".join(sorted(set(settings.DIALECT.errors.cases) - CASES))
    if not unknown:
        return []
    said = f"DIALECT has rules for cases that there aren't: {unknown}. docs/dialects.md lists them"
    return [checks.Error(said, hint=HINT.format(name="DIALECT"), id="keymeter.E001")]


@checks.register(SETTINGS)
def preview_endpoints_are_known(**_kwargs: Any) -> list[checks.CheckMessage]:
    unknown = ", ".join(sorted(set(settings.PREVIEW_ENDPOINTS) - BY_NAME.keys()))
    if not unknown:
        return []
    said = f"PREVIEW_ENDPOINTS, or DIALECT's preview, names endpoints that there aren't: {unknown}"
    return [checks.Error(said, hint=HINT.format(name="PREVIEW_ENDPOINTS"), id="keymeter.E001")]
