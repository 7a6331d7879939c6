"""Tables and demo data, brought up to date only when something about them has changed."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from devstack import envfile
from devstack.environment import Addresses
from devstack.places import CHECKOUT, Places
from devstack.supervisor import Supervisor

SOURCES = ("*/migrations/*.py", "platform/*/migrations/*.py", "platform/devstack/management/**/*.py")


def prepare(
    places: Places, supervisor: Supervisor, addresses: Addresses, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Migrate and seed if need be, and return what the demo command said about the demo admin. Raises StackError."""
    kept = places.var / "demo.json"
    state = fingerprint(addresses)
    if kept.exists() and not os.environ.get("DATABASE_URL"):
        earlier = json.loads(kept.read_text())
        if earlier.get("fingerprint") == state:
            return dict(earlier["demo"])
    manage = [sys.executable, str(CHECKOUT / "manage.py")]
    supervisor.terminal.step("bringing the database's tables up to date")
    supervisor.complete("migrate", [*manage, "migrate", "--noinput", "--verbosity", "0"], environment)
    supervisor.terminal.step("filling in the demo catalogue")
    printed = supervisor.complete("demo", [*manage, "demo", "--models-url", addresses.models_url], environment)
    demo = json.loads(printed.strip().splitlines()[-1])
    envfile.write_private(kept, json.dumps({"fingerprint": state, "demo": demo}))
    return dict(demo)


def fingerprint(addresses: Addresses) -> str:
    """Changes with the migrations, the packages, the demo command and the address that it stores."""
    digest = hashlib.sha256(addresses.models_url.encode())
    for pattern in (*SOURCES, "requirements/*.txt"):
        for path in sorted(CHECKOUT.glob(pattern)):
            digest.update(str(path.relative_to(CHECKOUT)).encode() + path.read_bytes())
    return digest.hexdigest()
