"""A segment is archived as it came, before it is registered, once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import pytest
from django.db import connection

from billing import archive
from billing.intake import IntakeError, OtherContentError, receive_segment
from billing.models import Segment

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CONTENT = b'{"v":1}\r\n\n\xff\xfe torn'


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the archive of this test is."""
    monkeypatch.setattr(archive, "storages", {"archive": archive.DurableFileSystemStorage(location=tmp_path)})
    return tmp_path


def receive(identity: str = "gw-1.0001", content: bytes = CONTENT) -> Segment:
    return receive_segment(identity, content, source="gw-1", origin=Segment.Origin.GATEWAY, now=NOW)[0]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"]


@pytest.mark.django_db
class TestReceiving:
    def test_it_is_archived_byte_by_byte(self, kept: Path) -> None:
        segment = receive()
        assert (kept / segment.path).read_bytes() == CONTENT
        assert (segment.size_bytes, segment.received_at, segment.posted_at) == (len(CONTENT), NOW, None)
        assert list(archive.read_lines(segment.path)) == [b'{"v":1}', b"\xff\xfe torn"]

    def test_an_empty_one_is_taken(self, kept: Path) -> None:
        assert (kept / receive(content=b"").path).read_bytes() == b""

    def test_the_same_content_again_is_the_same_segment(self, kept: Path) -> None:
        assert receive().pk == receive().pk
        assert len(files(kept)) == 1

    def test_other_content_of_a_known_identity_is_refused_and_the_first_stays(self, kept: Path) -> None:
        segment = receive()
        with pytest.raises(OtherContentError, match=r"gw-1\.0001"):
            receive(content=CONTENT + b"\n")
        assert Segment.objects.get().sha256 == segment.sha256
        assert [path.read_bytes() for path in files(kept)] == [CONTENT]

    def test_the_same_content_of_two_identities_is_two_segments(self) -> None:
        assert receive("a").pk != receive("b").pk

    @pytest.mark.parametrize("identity", ["a", "0", "gw-1.0001", "A_b.c-d", "x" * 150])
    def test_plain_names_are_identities(self, identity: str) -> None:
        assert receive(identity).identity == identity

    @pytest.mark.parametrize(
        "identity", ["", "-x", ".x", "_x", "..", "a/b", "a\\b", "../a", "a b", "a\n", "a\x00", "ä", "٣", "x" * 151]
    )
    def test_anything_else_is_refused_before_it_is_archived(self, kept: Path, identity: str) -> None:
        with pytest.raises(IntakeError, match="up to 150"):
            receive(identity)
        assert not files(kept)

    def test_two_sources_with_the_same_name_for_other_things_are_told(self) -> None:
        receive()
        with pytest.raises(OtherContentError):
            receive_segment("gw-1.0001", CONTENT, source="gw-2", origin=Segment.Origin.GATEWAY, now=NOW)

    def test_what_could_not_be_archived_is_not_registered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_name: str, _content: bytes) -> str:
            raise OSError("no space left on device")

        monkeypatch.setattr(archive, "store", full)
        with pytest.raises(OSError, match="no space"):
            receive()
        assert not Segment.objects.exists()


@pytest.mark.django_db(transaction=True)
class TestAtTheSameTime:
    def together(self, contents: list[bytes], monkeypatch: pytest.MonkeyPatch) -> list[Segment | OtherContentError]:
        """Receive these under one identity, all of them past the look whether it is known."""
        barrier = Barrier(len(contents))
        store = archive.store

        def store_together(name: str, content: bytes) -> str:
            barrier.wait(20)
            return store(name, content)

        def one(content: bytes) -> Segment | OtherContentError:
            try:
                return receive(content=content)
            except OtherContentError as error:
                return error
            finally:
                connection.close()

        monkeypatch.setattr(archive, "store", store_together)
        with ThreadPoolExecutor(len(contents)) as pool:
            return list(pool.map(one, contents))

    def test_the_same_content_becomes_one_segment(self, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        received = self.together([CONTENT] * 2, monkeypatch)
        segment = Segment.objects.get()
        assert received == [segment] * 2
        assert (kept / segment.path).read_bytes() == CONTENT

    def test_of_two_contents_one_wins_and_is_what_was_archived(
        self, kept: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        contents = [b"one\n", b"other\n"]
        received = self.together(contents, monkeypatch)
        segment = Segment.objects.get()
        assert sorted(type(answer).__name__ for answer in received) == ["OtherContentError", "Segment"]
        assert (kept / segment.path).read_bytes() == contents[received.index(segment)]
