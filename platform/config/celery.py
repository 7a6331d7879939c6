"""The Celery application; `celery -A config …` finds it here."""

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("keymeter")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)


@setup_logging.connect
def use_django_logging(**_kwargs: Any) -> None:
    """Django's LOGGING is already in force; without a receiver Celery would replace it."""


@celeryd_init.connect
def refuse_bad_settings_on_start(**_kwargs: Any) -> None:
    from config.checks import refuse_bad_settings

    refuse_bad_settings()
