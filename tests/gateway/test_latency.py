"""Which of several models answered the quickest lately."""

from gateway.upstreams.latency import FRESH_SECONDS, Latencies


def test_latencies_are_smoothed_forgotten_and_measured_anew_by_one_request() -> None:
    now = [0.0]
    known = Latencies(clock=lambda: now[0])
    assert [known.in_turn(["a", "b"]), known.in_turn(["a", "b"])] == [[0, 1], [1, 0]]
    known.note("a", 1.0)
    known.note("b", 2.0)
    assert known.in_turn(["b", "a"]) == [1, 0]
    known.note("a", 10.0)
    # 0.3 of ten seconds, and 0.7 of one.
    assert known.in_turn(["a", "b"]) == [1, 0]
    known.note_failure("b")
    assert known.in_turn(["b", "a"]) == [1, 0]
    now[0] = FRESH_SECONDS + 1
    known.note("a", 1.0)
    assert known.in_turn(["a", "b"]) == [1, 0]
    assert known.in_turn(["a", "b"]) == [0, 1]
