"""Plain JSON access logs of nginx and Envoy as usage, for models priced by the request."""

from datetime import timedelta

from tests.billing.adapters.records import STARTED, access_log, converted, line


def test_a_request_is_counted_from_its_beginning() -> None:
    found = line("access-log", access_log())
    assert (found.usage, found.endpoint, found.time) == ({"requests": 1}, "moderations", STARTED)
    assert found.ended == STARTED + timedelta(seconds=0.5)


def test_envoys_times_are_of_the_beginning() -> None:
    told = access_log(time="2026-11-21T06:00:00.123Z", msec=None, seconds=None, milliseconds="500")
    assert (line("access-log", told).time, line("access-log", told).ended) == (
        STARTED,
        STARTED + timedelta(seconds=0.5),
    )


def test_a_client_that_left_before_the_answer_pays_nothing() -> None:
    assert line("access-log", access_log(status=499, response_bytes=0)).usage == {}
    assert line("access-log", access_log(status=499)).usage == {"requests": 1}


def test_what_keymeter_refused_is_no_usage() -> None:
    assert converted("access-log", access_log(key="", status=401)) is None
