"""Handing work to Celery."""

from typing import Any

import structlog
from celery import Task
from django.db import transaction
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)


def after_commit(task: "Task[Any, Any]", *arguments: int) -> None:
    """Enqueue once the caller's transaction has committed."""
    transaction.on_commit(lambda: now(task, *arguments), robust=True)


def now(task: "Task[Any, Any]", *arguments: int) -> None:
    """Enqueue. A broker that can't be reached is no error: whatever must happen is found by a sweep too."""
    try:
        task.apply_async(arguments, retry=False)
    except OperationalError as error:
        log.warning("task not sent", task=task.name, error=str(error))
