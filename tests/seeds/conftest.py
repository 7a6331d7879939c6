"""A vendor's gateway: its dialect, its models, and what its upstream was sent."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
from django.test import override_settings
from openai import OpenAI

from accounts import organizations
from billing.tariff import UnitPrice
from catalog.models import Model, Route
from config.dialect import dialect
from hotstate.records import Limits
from tests.cast import make_key, make_model, make_user
from tests.gateway.conftest import (
    RunningGateway,
    announce,
    gateway,
    gateway_port,
    model_server,
    says,
    served,
    transactional_db,
)
from tests.openai_js import JavaScript, javascript_sdk

__all__ = ["gateway", "gateway_port", "javascript_sdk", "model_server", "says", "served", "transactional_db"]

Prices = dict[str, dict[str, int]]
NO_LIMITS = Limits()
RATE_HEADERS = {f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")}
EVERYTHING = ["chat", "embeddings", "images", "audio", "moderations", "rerank", "models"]
DEMO = {"chat": "demo-chat", "embeddings": "demo-embed", "images": "demo-image"}


# Runs a program with OpenAI's JavaScript SDK as a vendor's customer: what it prints, as JSON.
RunJavaScript = Callable[..., Any]


class Vendor:
    """Who sells under a dialect: `post` and `get` are what its customers do."""

    def __init__(self, gateway: RunningGateway, model_server: str) -> None:
        self.gateway = gateway
        self._control = model_server.removesuffix("/v1") + "/_control/requests"
        self.secret = gateway.secret

    def sells(self, prices: Prices, *, families: tuple[str, ...] = ("chat", "completions"), **fields: Any) -> None:
        """Models by id, each with nano-dollars per 1M units by meter."""
        for name, by_meter in prices.items():
            if not Model.objects.filter(public_id=name).exists():
                units = [UnitPrice(meter, nanos, 1_000_000) for meter, nanos in by_meter.items()]
                model = make_model(name, prices=units, families=list(families), **fields)
                Route.objects.filter(model=model).update(upstream_model=DEMO.get(families[0], "demo-chat"))
        Model.objects.filter(public_id__in=prices).update(enabled=True)
        announce()

    def has_key(self, *, limits: Limits = NO_LIMITS, scopes: list[str] = EVERYTHING) -> str:
        """Give the customer such a key."""
        assert self.gateway.organization
        _, self.secret = make_key(self.gateway.organization, limits=limits, scopes=scopes)
        return self.secret

    def opens(self, *previews: str) -> None:
        """Open endpoints in preview for the customer, as staff do."""
        assert self.gateway.organization
        staff, now = make_user(f"{uuid4()}@example.com", is_staff=True), datetime.now(UTC)
        organizations.set_previews(self.gateway.organization, list(previews), actor=staff, reason="Asked", now=now)

    def client(self, base: str = "/v1") -> OpenAI:
        """The official SDK, with the base URL of the reference."""
        return OpenAI(api_key=self.secret, base_url=f"http://127.0.0.1:{self.gateway.port}{base}", max_retries=0)

    def environment(self, base: str = "/v1") -> dict[str, str]:
        """What the SDKs take the key and the base URL from."""
        address = f"http://127.0.0.1:{self.gateway.port}{base}"
        return {"OPENAI_API_KEY": self.secret, "OPENAI_BASE_URL": address}

    def behaves(self, say: str, *, times: int) -> None:
        """The model server's next answers, whatever is asked."""
        order = json.dumps({"say": say, "times": times}).encode()
        address = self._control.replace("/requests", "/behave")
        with urlopen(Request(address, order, {"Content-Type": "application/json"})):
            pass

    def sent(self) -> dict[str, Any]:
        """What the upstream was sent last."""
        with urlopen(Request(self._control)) as answer:
            body: dict[str, Any] = json.load(answer)[-1]["body"]
            return body

    def charged(self) -> tuple[dict[str, int], int]:
        """(meters, nano-dollars) of the only request; as much is held until it is posted."""
        (line,) = self.gateway.lines()
        assert self.gateway.held_nanos() == line["charge_nanos"]
        return line["usage"], line["charge_nanos"]

    def uncharged(self, lines: int = 0) -> None:
        """Nothing was charged, and nothing is held: there are so many lines, of what was admitted and failed."""
        assert [line["charge_nanos"] for line in self.gateway.lines(lines)] == [0] * lines
        assert self.gateway.held_nanos() == 0


def rate_headers(headers: Iterable[str]) -> set[str]:
    """The names of those that there are."""
    return {name for name in map(str.lower, headers) if name.startswith("x-ratelimit-")}


@pytest.fixture
def vendor(gateway: RunningGateway, model_server: str) -> Iterator[Callable[[str], Vendor]]:
    """`vendor("hiveops")`: as that dialect has it, with a key that may do everything."""
    changed: list[override_settings] = []

    def of(name: str) -> Vendor:
        found = dialect(name)
        told = {"KEY_PREFIX": found.key_prefix, "PREVIEW_ENDPOINTS": list(found.preview)}
        changed.append(override_settings(DIALECT=found, REFUSE_PLAIN_HTTP=False, **told))
        changed[-1].enable()
        vendor = Vendor(gateway, model_server)
        vendor.has_key()
        return vendor

    yield of
    for one in reversed(changed):
        one.disable()


@pytest.fixture
def javascript(javascript_sdk: JavaScript, tmp_path: Path) -> RunJavaScript:
    """`javascript(vendor, program)`: the program tells what it found with `tell(…)`."""

    def run(vendor: Vendor, program: str, base: str = "/v1") -> Any:
        tells = "const tell = (found) => console.log(JSON.stringify(found));\n"
        imports = [line for line in program.splitlines() if line.startswith("import ")]
        head = "\n".join(imports) or 'import OpenAI from "openai";'
        rest = "\n".join(line for line in program.splitlines() if not line.startswith("import "))
        told = javascript_sdk.run(f"{head}\n{tells}{rest}", tmp_path, **vendor.environment(base))
        return json.loads(told)

    return run
