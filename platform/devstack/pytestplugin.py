"""Loaded by pytest before Django's settings: where the engines are, and which worker runs which tests."""

import os
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from devstack import envfile
from devstack.places import Places

FIRST_DATABASE = 8
"""Databases below belong to the development stack; tests empty only theirs."""

STACKS = ("tests/e2e/", "tests/devstack/test_supervision.py")
"""Tests that run a whole Keymeter. They come first, all in one worker: two stacks at once would disturb each other."""


def isolate() -> None:
    """Set the environment for this process's tests; each worker has a Valkey database of its own."""
    for name, value in envfile.read(Places.of().environment).items():
        os.environ.setdefault(name, value)
    if url := os.environ.get("VALKEY_URL"):
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
        own = urlunsplit(urlsplit(url)._replace(path=f"/{FIRST_DATABASE + worker}"))
        os.environ["VALKEY_URL"] = os.environ["CELERY_BROKER_URL"] = own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(STACKS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadgroup` the tests of a file stay together, and those of all stacks too.

    xdist's own scheduler of that name needs to rename tests, which pytest 9 no longer lets it do.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "stacks" if nodeid.startswith(STACKS) else nodeid.partition("::")[0]

    if config.getoption("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False
    return Scheduling(config, log)


isolate()
