import socket
from collections.abc import Iterator

import pytest

from devstack.ports import HOST, Ports
from devstack.problems import StackError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_a_clear_error(taken: int) -> None:
    with pytest.raises(StackError) as caught:
        Ports().claim(taken, what="web", option="--web-port")
    assert f"Port {taken} for the web is taken" in str(caught.value)
    assert "--auto-port" in str(caught.value)
    assert "--web-port" in str(caught.value)


def test_auto_takes_a_later_port(taken: int) -> None:
    assert Ports().claim(taken, what="web", auto=True) > taken


def test_two_stacks_never_claim_the_same_port() -> None:
    one, other = Ports(), Ports()
    port = one.any()
    assert other.any(preferred=port) != port
    one.release()
    assert other.any(preferred=port) == port


def test_a_port_that_others_listen_on_over_ipv6_is_taken() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server, pytest.raises(StackError):
        Ports().claim(server.getsockname()[1], what="web")
