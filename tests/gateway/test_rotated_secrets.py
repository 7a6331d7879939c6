"""A secret that was replaced works until its overlap ends, and at no gateway afterwards."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from accounts.keys import end_overlap, rotate_key
from tests.gateway.conftest import RunningGateway


def test_ending_the_overlap_ends_the_old_secret_at_once(gateway: RunningGateway) -> None:
    assert gateway.key
    now, old = datetime.now(UTC), gateway.key.secrets.get()
    new = rotate_key(gateway.key, replacing=old.public_id, overlap=timedelta(hours=1), actor=None, now=now)

    def statuses() -> list[int]:
        return [gateway.request("GET", "/v1/models", secret=secret).status for secret in (gateway.secret, new)]

    assert statuses() == [200, 200]
    assert end_overlap(gateway.key, secret=old.public_id, actor=None, now=datetime.now(UTC))
    assert statuses() == [401, 200]


def test_a_secret_that_ends_while_the_body_comes_is_refused(gateway: RunningGateway) -> None:
    assert gateway.key
    key, old = gateway.key, gateway.key.secrets.get()

    def slowly() -> Iterator[bytes]:
        yield b'{"model": "demo-chat", '
        rotate_key(key, replacing=old.public_id, overlap=timedelta(0), actor=None, now=datetime.now(UTC))
        yield b'"messages": [{"role": "user", "content": "hello"}]}'

    assert gateway.request("POST", "/v1/chat/completions", slowly()).error[0] == 401
    assert gateway.written() == 0


def test_a_line_says_with_which_secret(gateway: RunningGateway) -> None:
    assert gateway.key
    old = gateway.key.secrets.get()
    new = rotate_key(
        gateway.key, replacing=old.public_id, overlap=timedelta(hours=1), actor=None, now=datetime.now(UTC)
    )
    current = gateway.key.secrets.get(lapses_at=None)
    gateway.chat()
    gateway.secret = new
    gateway.chat()
    assert [line["secret"] for line in gateway.lines(2)] == [old.public_id, current.public_id]
