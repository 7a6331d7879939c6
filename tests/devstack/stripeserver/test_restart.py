"""What is kept over a restart, and what isn't."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
import stripe

from devstack.stripeserver.store import MOST_OF_A_KIND, Store
from tests.devstack.stripeserver.running import SECRET, running
from tests.devstack.stripeserver.shop import Inbox, Shop, inbox
from tests.devstack.stripeserver.test_idempotency import pay
from tests.waiting import wait_until


@contextmanager
def kept(folder: Path, hook: Inbox) -> Iterator[tuple[Shop, "subprocess.Popen[bytes]"]]:
    """As `manage.py dev` starts it: with a file and an endpoint."""
    with running(folder, "--file", str(folder / "stripe.json"), webhook=hook.url, retries="0.1,0.1") as both:
        yield both


def test_everything_outlives_a_restart(tmp_path: Path) -> None:
    with inbox() as hook:
        with kept(tmp_path, hook) as (shop, _):
            ann = shop.customer()
            first = pay(shop, "topup-1", customer=ann.id)
            shop.quiet()
            hook.answers = [500] * 9
            session = shop.session(customer=ann.id)
            shop.stripe.v1.checkout.sessions.expire(session.id)
            came = len(hook.received)
        assert (tmp_path / "stripe.json").stat().st_mode & 0o777 == 0o600
        with kept(tmp_path, hook) as (shop, _):
            assert shop.stripe.v1.customers.retrieve(ann.id).email == "ann@example.com"
            assert pay(shop, "topup-1", customer=ann.id).id == first.id
            [endpoint] = shop.stripe.v1.webhook_endpoints.list().data
            assert endpoint.url == hook.url
            wait_until(lambda: len(hook.received) > came, "the webhook that wasn't accepted")
            last = hook.received[-1]
            assert stripe.Webhook.construct_event(last.body, last.signature, SECRET).type == "checkout.session.expired"


def test_a_kill_loses_at_most_the_last_moment(tmp_path: Path) -> None:
    with inbox() as hook:
        with kept(tmp_path, hook) as (shop, process):
            ann = shop.customer()
            file = tmp_path / "stripe.json"
            wait_until(lambda: file.exists() and ann.id in file.read_text(), "the file")
            process.send_signal(signal.SIGKILL)
            process.wait(5)
        with kept(tmp_path, hook) as (shop, _):
            assert shop.stripe.v1.customers.retrieve(ann.id).id == ann.id


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": "2020-01-01"}'])
def test_a_file_that_cannot_be_read_means_to_start_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stripe.json").write_bytes(content)
    with inbox() as hook, kept(tmp_path, hook) as (shop, _):
        assert shop.stripe.v1.customers.list().data == []
        shop.customer()
        hook.wait(1)
    assert orjson.loads((tmp_path / "stripe.json").read_bytes())["store"]


def test_card_numbers_other_than_the_public_test_cards_are_nowhere(tmp_path: Path) -> None:
    with inbox() as hook, kept(tmp_path, hook) as (shop, _):
        data = {"number": "4111111111111111", "exp_month": 12, "exp_year": 2034, "cvc": "987"}
        with pytest.raises(stripe.CardError):
            shop.stripe.v1.payment_methods.create({"type": "card", "card": data})  # type: ignore[arg-type]
    assert "4111111111111111" not in (tmp_path / "stripe.json").read_text()


def test_memory_is_bounded() -> None:
    store = Store()
    for number in range(MOST_OF_A_KIND + 5):
        store.keep({"id": str(number), "object": "customer"}, secret="x")
    assert len(store.kinds["customer"]) == len(store.private) == len(store.places) == MOST_OF_A_KIND
    assert (store.get("4"), next(store.newest("customer"))["id"]) == (None, str(MOST_OF_A_KIND + 4))
