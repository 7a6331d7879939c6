"""No line is lost or numbered twice, whatever kills the writer."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gateway.http.request_ids import moment_of, new_request_id
from gateway.logs.spool import take_abandoned, take_slot
from gateway.logs.usage_log import UsageLog, closed_segments


def make_log(folder: Path, **options: Any) -> UsageLog:
    return UsageLog(folder, **{"largest_bytes": 10**6, "oldest_seconds": 0.0, **options})


def append(log: UsageLog, request_id: UUID | None = None) -> None:
    request_id = request_id or new_request_id()
    log.append(
        id=request_id,
        time=moment_of(request_id),
        key="key_x",
        model="m",
        endpoint="chat.completions",
        status=200,
        outcome="completed",
        usage={"input_tokens": 1},
    )


def close(log: UsageLog) -> None:
    log.close_if_due()
    log.finish()


def numbers(folder: Path) -> list[int]:
    lines = [line for path in sorted(folder.glob("gw-*.jsonl")) for line in path.read_bytes().splitlines()]
    return [json.loads(line)["seq"] for line in lines]


def test_segments_are_closed_by_age(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    append(log)
    close(log)
    append(log)
    close(log)
    assert len(log.closed()) == 2
    assert numbers(tmp_path) == [1, 2]


def test_segments_are_closed_by_size(tmp_path: Path) -> None:
    log = make_log(tmp_path, largest_bytes=1, oldest_seconds=999)
    append(log)
    append(log)
    log.finish()
    assert len(log.closed()) == 2


def test_an_empty_segment_is_not_closed_before_a_minute(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    log.close_if_due()
    assert log.closed() == []


def test_what_a_kill_left_is_recovered_and_numbers_go_on(tmp_path: Path) -> None:
    killed = make_log(tmp_path)
    append(killed)
    append(killed)
    recovered = make_log(tmp_path)
    append(recovered)
    close(recovered)
    assert numbers(tmp_path) == [1, 2, 3]
    assert recovered.source == killed.source


def test_a_torn_line_is_kept_and_takes_no_number(tmp_path: Path) -> None:
    append(make_log(tmp_path))
    (left,) = tmp_path.glob("open.*.jsonl")
    with left.open("ab") as file:
        file.write(b'{"v":1,"id":"01')
    recovered = make_log(tmp_path)
    append(recovered)
    close(recovered)
    first, second = (path.read_bytes().splitlines() for path in recovered.closed())
    assert first[1] == b'{"v":1,"id":"01'
    assert json.loads(second[0])["seq"] == 2


def test_a_kill_between_the_state_and_the_name_skips_no_number(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    append(log)
    log._save_state()
    recovered = make_log(tmp_path)
    append(recovered)
    close(recovered)
    assert numbers(tmp_path) == [1, 2]


def test_a_disk_that_is_full_when_a_segment_ends_mixes_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file goes on where no new one can be made, and a descriptor is never used after it was closed."""
    log = make_log(tmp_path)
    append(log)

    def full(*args: Any, **kwargs: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as no_space:
        no_space.setattr("gateway.logs.usage_log.os.open", full)
        log.close_segment()
    append(log)
    close(log)
    with monkeypatch.context() as no_space:
        no_space.setattr(UsageLog, "_save_state", full)
        append(log)
        log.close_if_due()
        with pytest.raises(OSError, match="No space"):
            log.finish()
    append(log)
    close(log)
    assert numbers(tmp_path) == [1, 2, 3, 4]


def test_two_writers_have_two_folders(tmp_path: Path) -> None:
    assert take_slot(tmp_path) != take_slot(tmp_path)


def test_what_a_gateway_left_that_nobody_follows_is_taken_over(tmp_path: Path) -> None:
    follower = take_slot(tmp_path)
    left = tmp_path / "07"
    append(make_log(left))
    assert take_abandoned(tmp_path) == [left]
    make_log(left).shut()
    assert [path.parent for path in closed_segments(left)] == [left]
    assert take_abandoned(tmp_path) == []
    assert follower not in take_abandoned(tmp_path)


def test_a_request_id_carries_its_admission() -> None:
    before = datetime.now(UTC)
    assert abs((moment_of(new_request_id()) - before).total_seconds()) < 1
