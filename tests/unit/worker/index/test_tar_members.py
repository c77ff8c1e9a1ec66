"""A tar's images, found by its headers: in every format, whatever the names, and with few requests."""

import io
import tarfile
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_worker.index.tar_members import Found, list_members
from support.tars import FORMATS, tar_of

KIB = 1024
NAMES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=300)


class Counted:
    """A tar in memory, and what was read of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.requests: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        self.requests.append((offset, length))
        assert length <= len(self.data) - offset
        return self.data[offset : offset + length]

    def members(self, *, block_bytes: int = 4 * KIB) -> list[Found]:
        members = list_members(self.read, size=len(self.data), block_bytes=block_bytes)
        return [member for member in members if isinstance(member, Found)]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_long_name_is_one_name(kind: str) -> None:
    name = "/".join(["folder" * 3] * 8) + "/" + "photo" * 10 + ".jpg"
    tar = Counted(tar_of([(name, b"first"), ("b.jpg", b"second")], kind=kind))
    found = tar.members()
    assert [image.name for image in found] == [name, "b.jpg"]
    assert [tar.data[image.offset : image.offset + image.length] for image in found] == [b"first", b"second"]


@given(
    members=st.lists(st.tuples(NAMES, st.booleans(), st.binary(max_size=3_000)), max_size=12),
    kind=st.sampled_from(["gnu", "pax"]),
    block_bytes=st.integers(1, 8 * KIB),
)
def test_every_image_is_found_once_with_its_bytes(
    members: list[tuple[str, bool, bytes]], kind: str, block_bytes: int
) -> None:
    named = [(f"{name.strip('/')}x{'.jpg' if is_image else '.cls'}", data) for name, is_image, data in members]
    tar = Counted(tar_of(named, kind=kind))
    # The reference is tarfile, which reads the whole.
    with tarfile.open(fileobj=io.BytesIO(tar.data)) as whole:
        parts = [(member, member.name.split("/")) for member in whole]
        wanted = [
            (member.name, whole.extractfile(member).read())  # type: ignore[union-attr]
            for member, names in parts
            if names[-1].endswith("x.jpg") and not any(n.startswith(".") and n not in (".", "..") for n in names)
        ]
    found = tar.members(block_bytes=block_bytes)
    assert [(image.name, tar.data[image.offset : image.offset + image.length]) for image in found] == wanted


@given(
    at=st.integers(0, 4_095),
    damage=st.binary(min_size=1, max_size=64),
    kind=st.sampled_from(sorted(FORMATS)),
)
def test_damage_ends_with_a_sentence_or_changes_a_name(at: int, damage: bytes, kind: str) -> None:
    data = tar_of([("a" * 90 + ".jpg", b"1" * 700), ("\u00e9" * 40 + ".jpg", b"2" * 700)], kind=kind)
    tar = Counted(data[:at] + damage + data[at + len(damage) :])
    try:
        found = tar.members()
    except ValueError as error:
        found, sentence = [], str(error)
    else:
        sentence = "is another tar"
    assert sentence.startswith(("is ", "'")), sentence
    assert all(image.offset + image.length <= len(tar.data) for image in found)


@pytest.mark.parametrize(
    "size", [pytest.param(b"\xff" * 12, id="negative"), pytest.param(b"77777777777\0", id="eight gigabytes")]
)
@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.REGTYPE])
def test_a_header_that_lies_about_its_size_is_found_out(size: bytes, kind: bytes) -> None:
    header = tarfile.TarInfo("a.jpg")
    header.type = kind
    block = bytearray(header.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    tar = Counted(bytes(block) + bytes(10 * KIB))
    with pytest.raises(ValueError, match=r"is no tar, or is damaged at byte 0|is cut off"):
        tar.members()
    assert sum(length for _, length in tar.requests) <= 2 * 10 * KIB


def test_headers_are_read_in_blocks_and_what_is_large_is_skipped() -> None:
    small = [(f"{number:03d}.jpg", bytes(1_500)) for number in range(100)]
    tar = Counted(tar_of(small))
    assert len(tar.members(block_bytes=64 * KIB)) == 100
    assert len(tar.requests) <= 1 + -(-len(tar.data) // (62 * KIB))
    large = [(f"{number:03d}.jpg", bytes(500 * KIB)) for number in range(10)]
    tar = Counted(tar_of(large))
    assert len(tar.members(block_bytes=4 * KIB)) == 10
    # One for each header, and one for the end.
    assert len(tar.requests) <= 12
    assert sum(length for _, length in tar.requests) <= 12 * 4 * KIB


def test_members_are_not_kept() -> None:
    tar = Counted(tar_of([("a.jpg", b"")] * 10_000))
    tracemalloc.start()
    try:
        assert sum(1 for _ in list_members(tar.read, size=len(tar.data), block_bytes=KIB)) == 10_000
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # What was asked for is kept by the test: 5,000 pairs of numbers.
    assert most < 2 * KIB * KIB
