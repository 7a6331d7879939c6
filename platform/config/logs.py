"""Structured logs: one JSON object a line (or readable lines in development), with a request id, without secrets."""

import re
from collections.abc import Iterable
from typing import Any

import structlog

# What looks like a secret is masked wherever it appears, as the last net: nothing should log one in the first place.
_SECRET = re.compile(r"\b((?:[a-z]{2,10}-)+)[A-Za-z0-9]{30,}\b|(?<=[Bb]earer )\S+")


_imported: list[re.Pattern[str]] = []


def hide_secrets_like(patterns: Iterable[re.Pattern[str]]) -> None:
    """Mask what contains these, too."""
    _imported[:] = [re.compile(rf"(?<![A-Za-z0-9]){pattern.pattern}", re.ASCII) for pattern in patterns]


def mask_secrets(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace what looks like an API key or a bearer token in every string of the event."""
    for name, value in event.items():
        if isinstance(value, str):
            masked = _SECRET.sub(lambda match: f"{match.group(1) or ''}[secret]", value)
            for pattern in _imported:
                masked = pattern.sub("[secret]", masked)
            event[name] = masked
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    mask_secrets,
]


def logging_config(*, json: bool) -> dict[str, Any]:
    """The LOGGING setting; configures structlog on the way, so that both kinds of logger give the same lines."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=False)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
                "foreign_pre_chain": _SHARED,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            "django.request": {"level": "ERROR"},
            "aiohttp.access": {"level": "WARNING"},
            # Whatever the others' levels are: below this it writes bodies.
            "stripe": {"level": "WARNING"},
        },
    }
