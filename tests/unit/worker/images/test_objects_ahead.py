"""Objects that are read ahead: so many requests at a time, in order; files of this machine by whoever decodes them."""

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import cast

import pytest

from dueby_worker.images.fetch import MAX_IMAGE_BYTES, Fetcher
from dueby_worker.images.in_flight import RequestsInFlight
from dueby_worker.images.objects_ahead import ObjectsAhead
from dueby_worker.images.room import SMALL_FILE_BYTES
from dueby_worker.storage.store import Store, TooLarge

LIMIT_S = 20.0
LEAST, WANTED = 5, 2


class FarStore:
    """Answers when it may with the object's name, and counts who waits."""

    uri = "s3://photos"

    def __init__(self) -> None:
        self.may_answer, self.asked, self.waiting = threading.Event(), list[str](), 0
        self.changed = threading.Condition()

    def read_once(self, path: str, *, max_bytes: int) -> bytes:
        with self.changed:
            self.asked.append(path)
            self.waiting += 1
            self.changed.notify_all()
        assert self.may_answer.wait(LIMIT_S)
        with self.changed:
            self.waiting -= 1
        if path == "large" and max_bytes <= SMALL_FILE_BYTES:
            raise TooLarge(size=SMALL_FILE_BYTES + 1, max_bytes=max_bytes)
        return path.encode()

    def wait_for(self, count: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.waiting == count, LIMIT_S)


def a_reader(store: FarStore) -> ObjectsAhead:
    fetcher = Fetcher(opener=lambda root: cast(Store, store))
    in_flight = RequestsInFlight(least=LEAST, image_bytes=1)
    return ObjectsAhead(fetcher, in_flight, wanted=WANTED, local_images=lambda: 3)


def remote(count: int) -> Iterator[tuple[int, str]]:
    return ((number, f"s3://photos/{number}") for number in range(count))


def test_so_many_objects_are_asked_for_before_one_is_taken_and_one_more_for_each_that_was() -> None:
    store = FarStore()
    with closing(a_reader(store)) as reader:
        lists = reader.read(remote(20), most=1)
        handed_out = [next(lists) for _ in range(WANTED)]
        assert store.wait_for(LEAST)
        store.may_answer.set()
        for number, [(index, uri, get)] in enumerate(handed_out):
            assert (index, uri) == (number, f"s3://photos/{number}")
            assert get(max_bytes=SMALL_FILE_BYTES) == str(number).encode()
            reader.note_begun([(index, uri, get)])
        rest = []
        for images in lists:
            rest.append(images[0][2](max_bytes=SMALL_FILE_BYTES))
            reader.note_begun(images)
            assert len(store.asked) <= LEAST + WANTED + len(rest)
        assert rest == [str(number).encode() for number in range(WANTED, 20)]


def test_no_more_are_handed_out_than_decoders_may_have() -> None:
    store = FarStore()
    store.may_answer.set()
    handed_out = list[int]()
    with closing(a_reader(store)) as reader:
        lists = reader.read(remote(10), most=1)
        first = [next(lists) for _ in range(WANTED)]
        going_on = threading.Thread(target=lambda: handed_out.append(next(lists)[0][0]))
        going_on.start()
        going_on.join(0.05)
        assert handed_out == []
        reader.note_begun(first[0])
        going_on.join(LIMIT_S)
        assert handed_out == [WANTED]


def test_an_object_that_is_too_large_to_wait_in_memory_is_read_when_it_is_wanted() -> None:
    store = FarStore()
    store.may_answer.set()
    with closing(a_reader(store)) as reader:
        [[(_, _, get)]] = reader.read([(0, "s3://photos/large")], most=1)
        with pytest.raises(TooLarge):
            get(max_bytes=SMALL_FILE_BYTES)
        assert get(max_bytes=MAX_IMAGE_BYTES) == b"large"
        assert store.asked == ["large", "large"]


def test_files_of_this_machine_are_read_by_whoever_takes_them_several_in_a_row() -> None:
    store = FarStore()
    store.may_answer.set()
    items = [(0, "file:///a"), (1, "s3://photos/b"), *((number, f"file:///{number}") for number in range(2, 9))]
    with closing(a_reader(store)) as reader:
        lists = reader.read(items, most=1)
        got = []
        for images in lists:
            before = len(store.asked)
            got.append([get(max_bytes=SMALL_FILE_BYTES).decode() for _, _, get in images])
            reader.note_begun(images)
            assert images[0][1].startswith("s3") or len(store.asked) == before + len(images)
    assert got == [["a"], ["b"], ["2", "3", "4"], ["5", "6", "7"], ["8"]]
