"""Production refuses to start without its secrets, and says which."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config import env

ROOT = Path(__file__).resolve().parent.parent.parent
BARE = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "config.settings"}


@pytest.mark.parametrize("module", ["config.wsgi", "gateway.asgi"])
def test_a_server_refuses_to_start_without_secrets(module: str) -> None:
    started = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        env=BARE,
        cwd=ROOT / "docs",
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 2
    for name in ("SECRET_KEY", "KEY_PEPPERS", "ENCRYPTION_KEYS", "DATABASE_URL", "VALKEY_URL"):
        assert f"keymeter.E001: {name} is not set" in started.stderr


def test_a_gateway_without_its_credential_would_serve_what_nobody_charges() -> None:
    environment = {**os.environ, "GATEWAY_CREDENTIAL": ""}
    command = [sys.executable, "-c", "import gateway.asgi"]
    started = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert started.returncode == 2
    assert "keymeter.E001: GATEWAY_CREDENTIAL is not set" in started.stderr


def test_the_system_check_names_what_is_malformed() -> None:
    settings = {**os.environ, "SECRET_KEY": "short", "KEY_PEPPERS": "1:zz", "SIGNUP_CREDIT": "five"}
    checked = subprocess.run(
        [sys.executable, "-m", "django", "check"], env=settings, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 1
    assert checked.stderr.count("keymeter.E001") == 3


@pytest.mark.parametrize(
    ("raw", "nanos"), [("5", 5 * 10**9), ("0.000000001", 1), ("0", 0), ("12.345678912", 12_345_678_912)]
)
def test_dollars_are_read_exactly(raw: str, nanos: int) -> None:
    assert env.dollars(raw) == nanos


@pytest.mark.parametrize("raw", ["0.0000000001", "NaN", "five", "1e-12"])
def test_other_dollars_are_refused(raw: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        env.dollars(raw)


@pytest.mark.parametrize(
    "secrets", ["", " ", ",", "whsec_0123456789abcdef,", "whsec_", "secret_0123456789abcdef", "a,b,c"]
)
def test_with_stripe_nothing_starts_without_secrets_for_its_webhooks(secrets: str) -> None:
    """An empty one would let everybody sign."""
    environment = {**os.environ, "STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_WEBHOOK_SECRETS": secrets}
    command = [sys.executable, "-c", "import config.wsgi"]
    started = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert started.returncode == 2
    assert "keymeter.E001: STRIPE_WEBHOOK_SECRETS" in started.stderr


@pytest.mark.parametrize("secrets", ["whsec_0123456789abcdef", "whsec_0123456789abcdef, whsec_fedcba9876543210"])
def test_one_secret_for_webhooks_or_two(secrets: str) -> None:
    assert len(env.webhook_secrets(secrets)) == len(secrets.split(","))


@pytest.mark.parametrize("raw", ["0", "-5", "1.005", "5.5.5"])
def test_bounds_of_top_ups_are_whole_cents(raw: str) -> None:
    assert env.cents("5") == 5 * 10**9
    with pytest.raises((ValueError, ArithmeticError)):
        env.cents(raw)


@pytest.mark.parametrize("raw", ["pk_test_x", "x", "whsec_x"])
def test_a_key_that_is_not_secret_is_refused(raw: str) -> None:
    assert env.stripe_key("rk_live_x") == "rk_live_x"
    with pytest.raises(ValueError, match="sk_test_"):
        env.stripe_key(raw)
