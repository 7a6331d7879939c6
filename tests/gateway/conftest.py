"""A gateway on a socket, in front of the demo model server: one per file of tests, a new organization for each test."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from catalog import changes
from catalog.models import Model, Route, Upstream
from hotstate.client import valkey
from tests.cast import DOLLAR, begin_era, give_credit, make_key, make_model, make_organization
from tests.gateway import scripted
from tests.gateway.fleet import running_fleet
from tests.gateway.serving import Answer, RunningGateway, free_port, serving, wait_until_ready

__all__ = ["Answer", "RunningGateway", "announce", "free_port"]

CREDENTIAL = "demo-upstream-credential"
MODEL = "demo-chat"
POLL_SECONDS = 0.02
_serving: list[RunningGateway] = []


@pytest.fixture(scope="session")
def model_server() -> Iterator[str]:
    """The base URL of a demo model server, a process of its own."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "devstack.modelserver", "--port", str(port)],
        env={**os.environ, "MODELS_CREDENTIAL": CREDENTIAL},
    )
    wait_until_ready(port)
    yield f"http://127.0.0.1:{port}/v1"
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="module")
def gateway_port() -> int:
    """Where the file's gateway listens."""
    return free_port()


@pytest.fixture(scope="module")
def transactional_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """In this folder a database for a whole file, empty again at its end.

    Such tests have no `django_db` mark, which would empty it after each of them.
    """
    with django_db_blocker.unblock():
        yield
        call_command("flush", verbosity=0, interactive=False)


@pytest.fixture(scope="module")
def served(
    transactional_db: None, gateway_port: int, model_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    """The file's gateway, asked by nobody in particular."""
    valkey().flushdb()
    begin_era(valkey())
    spool = tmp_path_factory.mktemp("gateway") / "spool"
    changed = override_settings(
        GATEWAY_SPOOL_DIR=spool, INTAKE_URL="http://127.0.0.1:9", UPSTREAM_IDLE_SECONDS=20.0, GATEWAY_FSYNC_SECONDS=60.0
    )
    with changed, pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.offering.offer.POLL_SECONDS", POLL_SECONDS)
        patch.setattr("gateway.faces.known_gateways.POLL_SECONDS", POLL_SECONDS)
        patch.setattr("gateway.deciding.era_watch.POLL_SECONDS", POLL_SECONDS)
        # The machine may be busy: what is tested is not how long that is borne.
        patch.setattr("hotstate.pipelining.TIMEOUT_SECONDS", 10.0)
        with serving(spool, gateway_port) as gateway:
            _serving.append(gateway)
            yield gateway
            _serving.remove(gateway)


@pytest.fixture
def gateway(served: RunningGateway, model_server: str) -> RunningGateway:
    """A gateway with a priced model, and a key of a new organization that has $1."""
    _offer(model_server)
    served.organization = make_organization()
    give_credit(served.organization, DOLLAR)
    served.key, served.secret = make_key(served.organization)
    served.application.gateway.routing.forget()
    return served


@pytest.fixture(scope="module")
def fleet(served: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The addresses of three gateway processes, beside the file's own gateway and in the era in which it began."""
    with running_fleet(3, tmp_path_factory.mktemp("fleet") / "spool") as addresses:
        yield addresses


Says = Callable[..., None]


@pytest.fixture
def says(gateway: RunningGateway) -> Iterator[Says]:
    """`says(bytes, seconds, event, …)`: what the upstream answers from now on; an event is waited for."""
    with ExitStack() as stack:

        def script(*steps: scripted.Step) -> None:
            Upstream.objects.update(base_url=stack.enter_context(scripted.upstream(steps)))
            announce()

        yield script


def _offer(model_server: str) -> None:
    """The one model as it should be, whatever the tests before did."""
    if not Model.objects.filter(public_id=MODEL).exists():
        model = make_model(MODEL, upstream_url=model_server)
        upstream = model.routes.get().upstream
        upstream.credential = CREDENTIAL
        upstream.save()
    changed = Upstream.objects.exclude(base_url=model_server).update(base_url=model_server)
    changed += Upstream.objects.exclude(convention="openai").update(convention="openai")
    changed += Route.objects.filter(model__public_id=MODEL).exclude(upstream_model=MODEL).update(upstream_model=MODEL)
    changed += Model.objects.exclude(public_id=MODEL).filter(enabled=True).update(enabled=False)
    if changed or not _serving[0].knows(MODEL):
        announce()


def announce() -> None:
    """Tell the gateway that the catalogue changed, and wait until it knows."""
    changes.announce(datetime.now(UTC))
    for gateway in _serving:
        gateway.wait_for_catalogue()
