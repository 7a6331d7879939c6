"""The gateway's connection: replies in order, failures at once, and back again by itself."""

import asyncio
import os
import socket
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import hiredis
import pytest
import uvloop

from hotstate.errors import Unreachable
from hotstate.fast import HotState
from hotstate.pipelining import Connection, Pipelining

T = TypeVar("T")
URL = os.environ.get("VALKEY_URL", "")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def test_a_thousand_at_once_get_their_own_replies(empty_valkey: Any) -> None:
    async def work() -> list[Any]:
        client = Pipelining(URL)
        replies = await asyncio.gather(*(client.call("ECHO", f"{number}") for number in range(1000)))
        await client.close()
        return replies

    assert run(work()) == [str(number).encode() for number in range(1000)]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_more_than_the_socket_takes_arrives_whole_and_in_order(new_loop: Any, empty_valkey: Any) -> None:
    words = [f"{number}".encode() * 30_000 for number in range(300)]

    async def work() -> list[Any]:
        client = Pipelining(URL)
        replies = await asyncio.gather(*(client.call("ECHO", word) for word in words))
        await client.close()
        return replies

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(work()) == words


def test_an_error_of_the_server_is_a_reply(empty_valkey: Any) -> None:
    async def work() -> Any:
        client = Pipelining(URL)
        error, fine = await asyncio.gather(client.call("NONSENSE"), client.call("PING"))
        await client.close()
        return error, fine

    error, fine = run(work())
    assert isinstance(error, hiredis.ReplyError)
    assert fine == b"PONG"


def test_a_lost_connection_fails_those_who_wait_and_is_opened_again(empty_valkey: Any) -> None:
    async def work() -> Any:
        client = Pipelining(URL)
        own = await client.call("CLIENT", "ID")
        waiting = asyncio.create_task(client.call("BLPOP", "nothing", 0.9))
        await asyncio.sleep(0.05)
        empty_valkey.execute_command("CLIENT", "KILL", "ID", own)
        with pytest.raises(Unreachable):
            await waiting
        again = await client.call("PING")
        await client.close()
        return again

    assert run(work()) == b"PONG"


class Counting(Pipelining):
    attempts = 0

    async def _open(self) -> Connection:
        self.attempts += 1
        return await super()._open()


def test_a_server_that_is_not_there_is_tried_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hotstate.pipelining.PAUSE_AFTER_FAILURE_SECONDS", 3600)

    async def work() -> int:
        client = Counting("redis://127.0.0.1:1/0")
        results = await asyncio.gather(*(client.call("PING") for _ in range(100)), return_exceptions=True)
        assert {type(result) for result in results} == {Unreachable}
        with pytest.raises(Unreachable):
            await client.call("PING")
        return client.attempts

    assert run(work()) == 1


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Thread(target=silent.accept, daemon=True).start()

        async def work() -> None:
            with pytest.raises(Unreachable):
                await Pipelining(f"redis://127.0.0.1:{silent.getsockname()[1]}/0").call("PING")

        run(work())


def test_a_wrong_password_is_unreachable() -> None:
    parts = urlsplit(URL)
    wrong = urlunsplit(parts._replace(netloc=f":wrong@{parts.hostname}:{parts.port}"))

    async def work() -> None:
        with pytest.raises(Unreachable):
            await Pipelining(wrong).call("PING")

    run(work())


def test_a_server_that_forgot_the_scripts_is_told_them_again(empty_valkey: Any) -> None:
    async def work() -> Any:
        hotstate = HotState(URL)
        empty_valkey.script_flush()
        settled = await hotstate.release("org_x", "key_x", "request", elapsed_ms=0)
        await hotstate.close()
        return settled

    assert run(work()) is False


def test_a_server_that_refuses_is_no_answer(empty_valkey: Any) -> None:
    async def work() -> None:
        hotstate = HotState(URL)
        empty_valkey.lpush("km:digest:ab", "not a string")
        with pytest.raises(Unreachable, match="WRONGTYPE"):
            await hotstate.find("ab")
        await hotstate.close()

    run(work())
