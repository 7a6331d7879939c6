"""Loaded by pytest before Django's settings: where the engines are, and a Valkey database for each xdist worker."""

import os
from urllib.parse import urlsplit, urlunsplit

from devstack import envfile
from devstack.places import Places

FIRST_DATABASE = 8
"""Databases below belong to the development stack; tests empty only theirs."""


def isolate() -> None:
    """Set the environment for this process's tests."""
    for name, value in envfile.read(Places.of().environment).items():
        os.environ.setdefault(name, value)
    if url := os.environ.get("VALKEY_URL"):
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
        own = urlunsplit(urlsplit(url)._replace(path=f"/{FIRST_DATABASE + worker}"))
        os.environ["VALKEY_URL"] = os.environ["CELERY_BROKER_URL"] = own


isolate()
