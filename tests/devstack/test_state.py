import os
import stat
from pathlib import Path

import pytest

from devstack import devsecrets, envfile, lock, totp
from devstack.logs import MAX_BYTES, LogFile
from devstack.places import Places
from devstack.problems import StackError


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.of(str(tmp_path / "var"))


def test_secrets_are_made_once_and_private(places: Places) -> None:
    first = devsecrets.load(places)
    assert devsecrets.load(places) == first
    assert stat.S_IMODE(places.secrets.stat().st_mode) == 0o600


def test_a_new_kind_of_secret_leaves_the_others_alone(places: Places) -> None:
    first = devsecrets.load(places)
    envfile.write(places.secrets, {name: first[name] for name in first if name != "SECRET_KEY"})
    second = devsecrets.load(places)
    assert second["SECRET_KEY"] != first["SECRET_KEY"]
    assert second["KEY_PEPPERS"] == first["KEY_PEPPERS"]


def test_a_second_stack_in_the_same_folder_is_refused(places: Places) -> None:
    with lock.take(places.lock):
        assert lock.is_held(places.lock)
        with pytest.raises(StackError) as caught:
            lock.take(places.lock)
    assert f"process {os.getpid()}" in str(caught.value)
    assert "--var" in str(caught.value)
    assert not lock.is_held(places.lock)


def test_a_log_shows_warnings_and_tracebacks_only(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "web.log")
    (tmp_path / "web.log").write_text(
        "all well\n[warning  ] slow\n"
        'Traceback (most recent call last):\n  File "x"\nKeyError: 1\n'
        "fine\nincomplete error"
    )
    assert list(log.news()) == [
        "[warning  ] slow",
        "Traceback (most recent call last):",
        '  File "x"',
        "KeyError: 1",
    ]


def test_a_log_stays_bounded(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_bytes(b"x" * (MAX_BYTES + 1))
    LogFile(path).trim()
    assert path.stat().st_size == 0
    assert path.with_suffix(".log.1").stat().st_size == MAX_BYTES + 1


def test_totp_agrees_with_the_rfc() -> None:
    assert totp.code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 59) == "287082"
