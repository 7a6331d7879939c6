"""What is sent is unpacked record by record, however it is cut into portions, and no promise of it fills the memory."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.unpacking import PORTION, TooLargeError, UnpackingError, inflated, limited, records

values = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def cut(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


@given(st.lists(st.dictionaries(st.text(max_size=4), values, max_size=3), max_size=5), st.integers(1, 9), st.booleans())
def test_an_array_gives_its_members_wherever_it_is_cut(members: list[Any], size: int, pretty: bool) -> None:
    content = json.dumps(members, indent=2 if pretty else None, ensure_ascii=False).encode()
    found = list(records(cut(content, size), 10**6))
    assert [json.loads(one) for one in found] == members
    assert not any(b"\n" in one for one in found)


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=6), st.integers(1, 7))
def test_lines_are_given_as_they_stand(lines: list[bytes], size: int) -> None:
    lines = [b"x" + line.translate(None, b"\r\n") + b"x" for line in lines]
    for end in (b"\n", b"\r\n", b"\n\n"):
        assert list(records(cut(end.join(lines), size), 10**6)) == lines


@pytest.mark.parametrize("content", [b"", b" \n\t", b"[]", b" [ ] \n"])
def test_nothing_is_nothing(content: bytes) -> None:
    assert list(records([content], 100)) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'[{"a":1},', "torn"),
        (b'[{"a":"', "torn"),
        (b"[{}] {}", "after the array"),
        (b'[{"a":"' + b"x" * 200 + b'"}]', "longer"),
        (b"x" * 200, "longer"),
        (b"{}\n" + b"x" * 200, "Line 2 is longer"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_is_torn_or_endless_is_refused(content: bytes, complaint: str, size: int) -> None:
    with pytest.raises(UnpackingError, match=complaint):
        list(records(cut(content, size), 100))


@given(st.binary(max_size=200), st.integers(1, 9))
def test_gzip_of_several_parts_is_read_to_its_end(content: bytes, size: int) -> None:
    packed = gzip.compress(content) + gzip.compress(content) + b"\0" * 5
    assert b"".join(inflated(cut(packed, size))) == content * 2


def test_torn_gzip_is_refused() -> None:
    packed = gzip.compress(b"line\n" * 1000)
    for torn in (packed[:-1], packed[: len(packed) // 2], packed[:5]):
        with pytest.raises(UnpackingError, match="torn"):
            list(inflated([torn]))


@pytest.mark.parametrize("content", [b"{}\n", b"\x1f\x8b" + b"x" * 40])
def test_what_is_no_gzip_is_refused(content: bytes) -> None:
    with pytest.raises(UnpackingError, match="no gzip"):
        list(inflated([content]))


def test_a_gzip_bomb_is_unpacked_by_portions_and_stopped_at_the_limit() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(b"\0" * (64 * 1024 * 1024)) + packer.flush()
    assert len(bomb) < 100_000
    sizes = []
    with pytest.raises(TooLargeError, match="1 MiB"):
        sizes += [len(portion) for portion in limited(inflated([bomb]), 1024 * 1024)]
    assert next(inflated([bomb])) == b"\0" * PORTION


@pytest.mark.parametrize("content", [b"[,]", b"[{},,{}]", b"[{},]", b"[ , {}]", b"[{}, \n]"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_nothing_between_two_commas_is_no_member(content: bytes, size: int) -> None:
    with pytest.raises(UnpackingError, match="nothing where its member"):
        list(records(cut(content, size), 100))


@pytest.mark.parametrize("content", [b"{}\n" * 5, b"{}\n{}\n\n\n{}", b"[{}, {}, {}, {}, {}]"])
@pytest.mark.parametrize("size", [1, 4, 1000])
def test_there_are_no_more_lines_than_allowed(content: bytes, size: int) -> None:
    """Blank ones count: millions of them are as much work."""
    assert len(list(records(cut(content, size), 100, 5))) in (3, 5)
    with pytest.raises(TooLargeError, match="More than 4 lines"):
        list(records(cut(content, size), 100, 4))


def test_many_small_gzips_are_read_in_time_and_bounded() -> None:
    one = gzip.compress(b"{}\n")
    assert b"".join(inflated([one * 20_000])) == b"{}\n" * 20_000
    with pytest.raises(UnpackingError, match="pack it in one"):
        list(inflated([one * 11], most_members=10))
    assert b"".join(inflated([one * 10], most_members=10)) == b"{}\n" * 10
    assert max(len(portion) for portion in inflated([one * 200_000])) == PORTION
