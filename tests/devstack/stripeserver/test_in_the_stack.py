"""`manage.py dev` runs the local Stripe unless a key of the real one is set."""

from pathlib import Path
from typing import Any, cast

import pytest

from devstack import dev, devsecrets, roster
from devstack.engines import Engines, Given
from devstack.environment import OF_STRIPE, Addresses, environment, without_stack
from devstack.places import Places
from devstack.ports import Ports


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.of(str(tmp_path / "var"))


def chosen(places: Places, monkeypatch: pytest.MonkeyPatch, key: str) -> Addresses:
    """Which ports `dev` claims with this key in its environment."""
    monkeypatch.setenv("STRIPE_SECRET_KEY", key)
    return dev.Stack(places, cast(Any, None), dev.parser().parse_args(["--auto-port"])).addresses


def settings(places: Places, addresses: Addresses) -> dict[str, str]:
    secrets = devsecrets.load(places)
    return environment(places, secrets, Engines(places, secrets, Ports(), Given("x", "y", "z")), addresses)


def started(places: Places, addresses: Addresses) -> set[str]:
    return {service.name for service in roster.helpers(places, addresses, {})}


def test_without_a_key_the_local_one_runs_and_everybody_is_told(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = chosen(places, monkeypatch, "")
    assert addresses.stripe
    assert started(places, addresses) == {"models", "mailbox", "stripe"}
    told = settings(places, addresses)
    assert told["STRIPE_API_BASE"] == f"http://127.0.0.1:{addresses.stripe}"
    assert told["STRIPE_SECRET_KEY"].startswith("sk_test_")
    assert told["STRIPE_WEBHOOK_SECRETS"].startswith("whsec_")


def test_with_a_real_key_nothing_of_the_local_one_is_there(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = chosen(places, monkeypatch, "sk_test_of_the_real_one")
    assert started(places, addresses) == {"models", "mailbox"}
    assert not {name for name in settings(places, addresses) if name.startswith("STRIPE_")}


def test_a_stack_in_a_stack_has_its_own() -> None:
    theirs = dict.fromkeys((*OF_STRIPE, "STRIPE_API_BASE"), "theirs")
    assert without_stack({**theirs, "HOME": "/"}) == {"HOME": "/"}
