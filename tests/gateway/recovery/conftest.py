"""A Valkey of the test's own, which it may kill, and two gateways in front of it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from devstack.ports import Ports
from devstack.valkey import Valkey
from hotstate.client import valkey
from tests.gateway.recovery.losing import Fleet, OwnValkey, Worker, no_hint, populate
from tests.gateway.serving import free_port, serving


@pytest.fixture
def own_valkey(tmp_path: Path, settings: Any, request: pytest.FixtureRequest) -> Iterator[OwnValkey]:
    data = tmp_path / "valkey"
    data.mkdir(mode=0o700)
    durable = getattr(request, "param", "") == "durable"
    own = OwnValkey(Valkey(data, Ports().any(0), "a-password-for-tests", temporary=not durable), tmp_path)
    own.start()
    settings.VALKEY_URL = own.server.url()
    valkey.cache_clear()
    yield own
    own.kill()
    valkey.cache_clear()


@pytest.fixture
def fleet(
    transactional_db: None,
    own_valkey: OwnValkey,
    model_server: str,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Fleet]:
    """Two gateways, and a worker that looks after Valkey."""
    settings.GATEWAY_SPOOL_DIR = tmp_path / "spool"
    settings.INTAKE_URL = "http://127.0.0.1:9"
    monkeypatch.setattr("gateway.offering.offer.POLL_SECONDS", 0.02)
    monkeypatch.setattr("gateway.deciding.era_watch.POLL_SECONDS", 0.05)
    monkeypatch.setattr("gateway.deciding.era_watch.EraWatch._hint", no_hint)
    with ExitStack() as stack:
        worker = stack.enter_context(Worker())
        assert worker
        gateways = [stack.enter_context(serving(tmp_path / "spool", free_port())) for _ in range(2)]
        populate(gateways, model_server)
        fleet = Fleet(gateways, own_valkey)
        fleet.serve_again()
        yield fleet
        fleet.threads.shutdown(wait=True, cancel_futures=True)
