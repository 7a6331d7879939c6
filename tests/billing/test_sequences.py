"""Numbers that never came are a gap, until they come or a person says why; none is missed and none is invented."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Alarm, ApiKey, AuditEntry
from billing.models import SequenceGap, UsageSource
from billing.posting import post_segment
from billing.sequences import LASTING, MOST_RANGES, explain_gap, merged, note_sequences, ranges, watch_gaps
from tests.billing.proofs.conftest import red
from tests.cast import make_key, make_model, make_organization, make_segment, make_user, raw, usage_line

NOW = datetime.now(UTC)
LATER = NOW + timedelta(minutes=1)


@given(st.lists(st.integers(1, 60)))
def test_ranges_hold_exactly_the_numbers(seqs: list[int]) -> None:
    flat = ranges(seqs)
    held = [seq for first, last in zip(flat[::2], flat[1::2], strict=True) for seq in range(first, last + 1)]
    assert held == sorted(set(seqs))
    assert all(second > first + 1 for first, second in zip(flat[1::2], flat[2::2], strict=False))


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)))
def test_what_came_in_two_portions_came(some: set[int], others: set[int]) -> None:
    assert merged(ranges(some), ranges(others)) == ranges(some | others)


@pytest.mark.django_db
class TestGaps:
    @pytest.fixture
    def key(self) -> ApiKey:
        make_model()
        return make_key(make_organization())[0]

    def come(self, key: ApiKey, *seqs: int, source: str = "gw-test", more: bytes = b"") -> None:
        lines = [usage_line(key, at=NOW, seq=seq, source=source) for seq in seqs]
        segment = make_segment(raw(*lines) + more, source=source, now=NOW)
        post_segment(segment.pk, now=NOW)

    def gaps(self) -> list[tuple[int, int]]:
        note_sequences(LATER)
        return list(SequenceGap.objects.open().order_by("source", "first").values_list("first", "last"))

    def test_numbers_without_a_hole_are_no_gap(self, key: ApiKey) -> None:
        self.come(key, 1, 2, 3)
        self.come(key, 4)
        self.come(key)
        assert self.gaps() == []
        source = UsageSource.objects.get()
        assert (source.last_seq, source.last_segment and source.last_segment.lines) == (4, 0)

    def test_a_hole_in_or_between_segments_is_a_gap(self, key: ApiKey) -> None:
        self.come(key, 2, 3, 6)
        self.come(key, 10)
        assert self.gaps() == [(1, 1), (4, 5), (7, 9)]

    def test_it_is_closed_by_what_comes_late_also_in_part(self, key: ApiKey) -> None:
        self.come(key, 1, 10)
        assert self.gaps() == [(2, 9)]
        self.come(key, 4, 5)
        assert self.gaps() == [(2, 3), (6, 9)]
        self.come(key, 2, 3, 6)
        assert self.gaps() == [(7, 9)]
        self.come(key, *range(5, 12))
        assert self.gaps() == []
        filled = sum(gap.last - gap.first + 1 for gap in SequenceGap.objects.exclude(filled_at=None))
        assert (filled, UsageSource.objects.get().last_seq) == (8, 11)

    def test_order_doesnt_matter(self, key: ApiKey) -> None:
        for seqs in ((7, 8, 9), (1, 2), (3, 4, 5, 6)):
            self.come(key, *seqs)
        assert self.gaps() == []

    def test_a_quarantined_line_is_there_and_a_torn_one_is_not(self, key: ApiKey) -> None:
        self.come(key, 1, 2, more=raw({**usage_line(key, at=NOW, seq=3), "model": "nobody's"}) + b'{"seq":4,"sou')
        self.come(key, 5)
        assert self.gaps() == [(4, 4)]

    def test_sources_have_numbers_of_their_own(self, key: ApiKey) -> None:
        self.come(key, 1, 3, source="a")
        self.come(key, 1, 2, source="b")
        assert self.gaps() == [(2, 2)]

    def test_noting_twice_changes_nothing(self, key: ApiKey) -> None:
        self.come(key, 1, 3)
        assert self.gaps() == self.gaps() == [(2, 2)]
        assert note_sequences(LATER) == 0

    def test_what_was_posted_just_now_waits_for_its_neighbours(self, key: ApiKey) -> None:
        self.come(key, 2)
        assert note_sequences(NOW) == 0

    def test_a_person_explains_it_once_and_it_stays_explained(self, key: ApiKey) -> None:
        self.come(key, 1, 5)
        self.gaps()
        gap, staff = SequenceGap.objects.get(), make_user("staff@example.com", is_staff=True)
        assert explain_gap(gap, "Disk lost", actor=staff, now=NOW)
        assert not explain_gap(gap, "Again", actor=staff, now=NOW)
        assert self.gaps() == []
        assert AuditEntry.objects.get(action="gap.explain").reason == "Disk lost"
        # What comes all the same fills it.
        self.come(key, 3)
        self.gaps()
        explained = SequenceGap.objects.filter(filled_at=None).order_by("first")
        assert [(gap.first, gap.last, gap.explanation) for gap in explained] == [
            (2, 2, "Disk lost"),
            (4, 4, "Disk lost"),
        ]

    def test_only_one_that_lasts_raises_an_alarm(self, key: ApiKey) -> None:
        self.come(key, 1, 5)
        self.gaps()
        watch_gaps(LATER)
        assert not Alarm.objects.exists()
        watch_gaps(LATER + LASTING + timedelta(seconds=1))
        alarm = Alarm.objects.get()
        assert (alarm.kind, alarm.subject) == ("usage_missing", "gw-test")
        assert "2 to 4" in alarm.detail

    def test_numbers_that_mean_nothing_are_an_alarm_and_one_gap_that_a_person_explains(self, key: ApiKey) -> None:
        last = 2 * MOST_RANGES + 3
        self.come(key, *range(1, last + 1, 2))
        assert self.gaps() == [(1, last)]
        assert Alarm.objects.get().kind == "sequence_broken"
        much_later = LATER + timedelta(hours=1)
        assert "first 2 to 2" in red(much_later)["sequences"].offender
        explain_gap(SequenceGap.objects.get(), "A test", actor=make_user("s@example.com"), now=LATER)
        assert "sequences" not in red(much_later)

    def test_numbers_that_other_lines_had_are_told(self, key: ApiKey) -> None:
        """A source that counts anew, having lost its log: what it lost leaves no gap."""
        self.come(key, 1, 2, 5)
        assert self.gaps() == [(3, 4)]
        self.come(key, 3, 4)
        assert (self.gaps(), Alarm.objects.count()) == ([], 0)
        self.come(key, 1, 2, 3)
        assert self.gaps() == []
        alarm = Alarm.objects.get()
        assert (alarm.kind, alarm.subject, alarm.detail.split()[1]) == ("sequence_reused", "gw-test", "3")

    def test_the_same_lines_again_use_no_number_twice(self, key: ApiKey) -> None:
        lines = raw(*(usage_line(key, at=NOW, seq=seq) for seq in (1, 2, 3)))
        for content in (lines, lines, lines + raw(usage_line(key, at=NOW, seq=4))):
            post_segment(make_segment(content, now=NOW).pk, now=NOW)
            note_sequences(LATER)
        assert not Alarm.objects.exists()
