"""Floods of well-formed secrets that nobody has: PostgreSQL is hardly asked, and keys that are known go on working."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.secrets import digests, generate
from gateway.deciding import keyring, strangers
from gateway.deciding.strangers import Strangers, TooManyStrangers
from gateway.faces import known_gateways
from gateway.faces.credentials import create_credential
from hotstate import names
from hotstate.client import valkey
from tests.cast import make_key, make_organization
from tests.gateway.conftest import Answer, RunningGateway
from tests.gateway.other_gateway import OtherGateway
from tests.waiting import wait_until

UNKNOWN = (401, "invalid_request_error", "invalid_api_key")
LIMITED = (429, "requests", "rate_limit_exceeded")
UNAVAILABLE = (503, "server_error", "service_unavailable")


class Database:
    """Counts look-ups of secrets in PostgreSQL, and how many there were at once; held up while `open` is not set."""

    def __init__(self, load: Callable[..., Any]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._now = 0
        self.looked_up = 0
        self.at_once = 0
        self.open = threading.Event()
        self.open.set()

    def __call__(self, digest: str, now: datetime, era: str | None) -> Any:
        with self._lock:
            self.looked_up += 1
            self._now += 1
            self.at_once = max(self.at_once, self._now)
        try:
            assert self.open.wait(20)
            return self._load(digest, now, era)
        finally:
            with self._lock:
                self._now -= 1


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    counting = Database(keyring.load_and_publish)
    monkeypatch.setattr("gateway.deciding.keyring.load_and_publish", counting)
    yield counting
    counting.open.set()


@pytest.fixture(autouse=True)
def _nobody_was_seen(gateway: RunningGateway) -> None:
    """Whoever was a stranger to another test."""
    keys = gateway.application.gateway.decider._keyring
    keys._strangers = Strangers()
    keys._cache.clear()


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is forgiven while the test runs."""
    monkeypatch.setattr("gateway.deciding.strangers.INTERVAL_NS", 3600 * 10**9)


def show(gateway: RunningGateway, secret: str = "", *, address: str = "192.0.2.1") -> Answer:
    headers = {"X-Forwarded-For": address}
    return gateway.request("GET", "/v1/key", secret=secret or generate("km-sk").text, headers=headers)


@pytest.fixture
def behind_a_proxy(settings: Any) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1


@pytest.mark.usefixtures("behind_a_proxy", "frozen")
class TestOneAddress:
    def test_a_flood_costs_a_bounded_number_of_look_ups(self, gateway: RunningGateway, database: Database) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: show(gateway), range(150)))
        errors = [answer.error for answer in answers]
        assert set(errors) == {UNKNOWN, LIMITED}
        assert errors.count(UNKNOWN) <= database.looked_up <= strangers.BURST + strangers.LOOK_UPS_AT_ONCE
        assert database.at_once <= strangers.LOOK_UPS_AT_ONCE
        refused = next(answer for answer in answers if answer.status == 429)
        assert int(refused.headers["retry-after"]) == -(-int(refused.headers["retry-after-ms"]) // 1000) > 0
        assert "unknown API keys from your address" in refused.json["error"]["message"]

    def test_known_keys_of_that_address_are_served(self, gateway: RunningGateway, database: Database) -> None:
        assert gateway.organization
        assert show(gateway, gateway.secret).status == 200
        while show(gateway).status != 429:
            pass
        asked = database.looked_up
        assert show(gateway, gateway.secret).status == 200
        # One that this process hasn't seen, and Valkey has: its first decision in this era loads it.
        new = make_key(gateway.organization)[1]
        assert [show(gateway, new).status for _ in range(3)] == [200] * 3
        assert database.looked_up == asked + 1

    def test_other_addresses_are_not_limited(self, gateway: RunningGateway) -> None:
        while show(gateway).status != 429:
            pass
        assert show(gateway, address="192.0.2.2").error == UNKNOWN

    def test_one_wrong_secret_is_looked_up_once_and_stays_unknown(
        self, gateway: RunningGateway, database: Database
    ) -> None:
        wrong = generate("km-sk").text
        assert {show(gateway, wrong).error for _ in range(2 * strangers.BURST)} == {UNKNOWN}
        assert database.looked_up == 1

    def test_other_gateways_are_told_as_a_verdict(self, gateway: RunningGateway) -> None:
        _, credential = create_credential("edge", sources=[], now=datetime.now(UTC))
        other = OtherGateway(gateway, credential)
        for address in ("192.0.2.7", None):
            while (told := other.verify(generate("km-sk").text, address=address).json)["code"] == "unknown":
                pass
            assert (told["code"], told["valid"], told["status"], told["key"]) == ("rate_limited", False, 429, None)
            assert told["retry_after_ms"] > 0

    def test_to_a_bound_gateway_a_foreign_key_is_as_unknown_as_made_up_ones(self, gateway: RunningGateway) -> None:
        mine = make_organization("Mine").public_id
        _, credential = create_credential("bound", sources=[], organizations=[mine], now=datetime.now(UTC))
        other = OtherGateway(gateway, credential)
        assert [other.verify(gateway.secret).json["code"] for _ in range(2)] == ["unknown"] * 2
        assert gateway.request("GET", "/v1/key").status == 200
        for _ in range(strangers.BURST - 1):
            assert other.verify(generate("km-sk").text).json["code"] == "unknown"
        foreign = make_key(gateway.organization)[1]  # type: ignore[arg-type]
        assert [other.verify(secret).json["code"] for secret in (foreign, generate("km-sk").text)] == [
            "rate_limited"
        ] * 2


@pytest.mark.usefixtures("behind_a_proxy")
class TestManyAddresses:
    def test_few_look_ups_at_a_time_and_the_others_are_told_to_come_again(
        self, gateway: RunningGateway, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.deciding.strangers.WAIT_SECONDS", 0.05)
        assert show(gateway, gateway.secret).status == 200
        database.open.clear()
        with ThreadPoolExecutor(12) as pool:
            asked = [pool.submit(show, gateway, address=f"192.0.2.{number}") for number in range(12)]
            wait_until(lambda: sum(future.done() for future in asked) >= 10, "all but two to be refused")
            assert show(gateway, gateway.secret).status == 200
            refused = [future.result() for future in asked if future.done()]
            database.open.set()
            answers = [future.result() for future in asked]
        assert [answer.error for answer in refused] == [UNAVAILABLE] * 10
        assert refused[0].headers["retry-after"] == "1"
        assert sorted(answer.status for answer in answers) == [401] * 2 + [503] * 10
        assert database.at_once == strangers.LOOK_UPS_AT_ONCE

    def test_a_flood_pushes_no_known_key_out(
        self, gateway: RunningGateway, database: Database, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.deciding.strangers.MOST_REMEMBERED", 3)
        settings.KEY_CACHE_SIZE = 3
        assert show(gateway, gateway.secret).status == 200
        valkey().delete(names.digest_index(digests(gateway.secret)[0][1].hex()))
        for number in range(10):
            assert show(gateway, address=f"192.0.2.{number}").error == UNKNOWN
        asked = database.looked_up
        assert show(gateway, gateway.secret).status == 200
        assert database.looked_up == asked


class TestStrangers:
    def test_what_was_used_up_comes_back_with_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [10**12]
        monkeypatch.setattr("gateway.deciding.strangers.time.monotonic_ns", lambda: clock[0])
        met = Strangers()
        for number in range(strangers.BURST):
            met.check("192.0.2.1")
            met.note(str(number), "192.0.2.1")
        with pytest.raises(TooManyStrangers) as refused:
            met.check("192.0.2.1")
        assert refused.value.wait_ms == 1000
        clock[0] += 999 * 10**6
        with pytest.raises(TooManyStrangers):
            met.check("192.0.2.1")
        clock[0] += 10**6
        met.check("192.0.2.1")

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("2001:db8::1", "2001:db8::ffff:1", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
            ("::ffff:192.0.2.1", "192.0.2.1", True),
            ("192.0.2.1", "192.0.2.2", False),
            ("nonsense", "nonsense", True),
            (None, "192.0.2.1", False),
        ],
    )
    def test_a_site_of_ipv6_counts_as_one(
        self, one: str | None, other: str, same: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.deciding.strangers.BURST", 1)
        met = Strangers()
        met.note("x", one)
        if same:
            with pytest.raises(TooManyStrangers):
                met.check(other)
        else:
            met.check(other)

    def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.deciding.strangers.MOST_REMEMBERED", 5)
        monkeypatch.setattr("gateway.deciding.strangers.MOST_ADDRESSES", 5)
        met = Strangers()
        for number in range(20):
            met.note(str(number), f"192.0.2.{number}")
        assert (len(met._until), len(met._forgiven_ns)) == (5, 5)
        assert [met.known(digest) for digest in ("0", "19")] == [False, True]

    def test_a_place_is_free_again_whatever_happened(self) -> None:
        async def use() -> None:
            met = Strangers()
            for _ in range(2 * strangers.LOOK_UPS_AT_ONCE):
                with pytest.raises(ZeroDivisionError):
                    async with met.look_up("192.0.2.1"):
                        raise ZeroDivisionError

        asyncio.run(use())


def test_gateway_credentials_that_nobody_has_keep_no_gateway_out(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential, secret = create_credential("flooded", sources=["gw-*"], now=datetime.now(UTC))
    other = OtherGateway(gateway, secret, credential.name)
    assert other.check().status == 200
    # Of this test alone: the address is everybody's here.
    monkeypatch.setattr(gateway.application.gateway.known_gateways, "_strangers", Strangers())
    looked_up: list[str] = []
    find = known_gateways.find_credential
    monkeypatch.setattr(
        "gateway.faces.known_gateways.find_credential", lambda shown: looked_up.append(shown) or find(shown)
    )
    with ThreadPoolExecutor(20) as pool:
        strange = [OtherGateway(gateway, f"km-gw-{number:040}", "") for number in range(100)]
        answers = list(pool.map(lambda one: one.check().status, strange))
    assert set(answers) == {503, 429}
    # One more each second.
    assert len(looked_up) < strangers.BURST + 30
    assert other.check().status == 200
