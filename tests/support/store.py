"""What every store must do: a class of tests that the test modules of the stores inherit."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from dueby_worker.storage.store import NotFound, Store, TooLarge

WRITERS = 8


class StoreContract:
    """Tests that need a fixture `open_again`, which opens the same, initially empty store at each call."""

    @pytest.fixture
    def store(self, open_again: Callable[[], Store]) -> Store:
        return open_again()

    def test_what_is_created_is_there(self, store: Store) -> None:
        assert store.create("a/b.bin", b"first")
        assert store.read("a/b.bin") == b"first"
        assert store.exists("a/b.bin")

    def test_what_is_there_is_not_created_again(self, store: Store) -> None:
        assert store.create("a/b.bin", b"first")
        assert not store.create("a/b.bin", b"second")
        assert store.read("a/b.bin") == b"first"

    def test_replace_writes_over_what_is_there_or_isnt(self, store: Store) -> None:
        store.replace("b.bin", b"first")
        store.replace("b.bin", b"second")
        assert store.read("b.bin") == b"second"

    def test_of_many_writers_one_creates(self, open_again: Callable[[], Store]) -> None:
        stores = [open_again() for _ in range(WRITERS)]
        for number in range(5):
            start = threading.Barrier(WRITERS)

            def write(
                writer: int, start: threading.Barrier = start, stores: list[Store] = stores, number: int = number
            ) -> bool:
                start.wait()
                return stores[writer].create(f"part-{number}", bytes([writer]) * 100_000)

            with ThreadPoolExecutor(WRITERS) as pool:
                created = list(pool.map(write, range(WRITERS)))
            assert created.count(True) == 1
            assert stores[0].read(f"part-{number}") == bytes([created.index(True)]) * 100_000

    def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        assert not store.exists("a")
        with pytest.raises(NotFound):
            store.read("a")
        with pytest.raises(NotFound):
            list(store.blocks("a"))

    def test_no_more_is_read_than_the_caller_takes(self, store: Store) -> None:
        store.create("a", b"four")
        assert store.read_once("a", max_bytes=4) == b"four"
        with pytest.raises(TooLarge, match="it has 4 bytes, more than the limit of 3 bytes") as caught:
            store.read_once("a", max_bytes=3)
        assert caught.value.size == 4

    def test_a_range_ends_where_the_object_does(self, store: Store) -> None:
        store.create("a", b"0123456789")
        assert store.read_range_once("a", 2, 3) == b"234"
        assert store.read_range_once("a", 0, 10) == b"0123456789"
        assert store.read_range_once("a", 8, 5) == b"89"
        assert store.read_range_once("a", 10, 5) == b""
        with pytest.raises(NotFound):
            store.read_range_once("b", 0, 1)

    def test_its_end_is_read_or_all_if_it_is_shorter(self, store: Store) -> None:
        store.create("a", b"0123456789")
        store.create("empty", b"")
        assert store.read_end("a", 3) == b"789"
        assert store.read_end("a", 10) == b"0123456789"
        assert store.read_end("a", 99) == b"0123456789"
        assert store.read_end("empty", 3) == b""
        with pytest.raises(NotFound):
            store.read_end("b", 3)

    def test_a_version_tells_sizes_apart(self, store: Store, open_again: Callable[[], Store]) -> None:
        store.create("a", b"four")
        first = store.version_once("a")
        assert first.size == 4
        assert open_again().version_once("a") == first
        open_again().replace("a", b"three")
        assert open_again().version_once("a") != first
        with pytest.raises(NotFound):
            store.version_once("b")

    def test_a_folder_is_no_object(self, store: Store) -> None:
        store.create("a/b", b"")
        assert not store.exists("a")
        assert store.is_folder("a")
        assert not store.is_folder("a/b")

    def test_names_are_listed_without_folders_and_sorted(self, store: Store) -> None:
        for path in ("b", "a", "a-folder/c", "a-folder/deep/d", ".e"):
            store.create(path, b"")
        assert store.list_names() == [".e", "a", "b"]
        assert store.list_folders() == ["a-folder"]
        assert store.list_names("a-folder") == ["c"]
        assert store.list_folders("a-folder") == ["deep"]

    def test_no_names_are_listed_in_no_folder(self, store: Store) -> None:
        assert store.list_names("nowhere") == []
        assert store.list_folders("nowhere") == []

    def test_a_listing_is_never_stale(self, store: Store, open_again: Callable[[], Store]) -> None:
        assert store.list_names("f") == []
        assert not store.exists("f/a")
        open_again().create("f/a", b"")
        assert store.list_names("f") == ["a"]
        assert store.exists("f/a")
        open_again().delete("f/a")
        assert store.list_names("f") == []
        assert not store.exists("f/a")

    def test_what_is_deleted_is_gone_and_may_be_gone_before(self, store: Store) -> None:
        store.create("a", b"")
        store.delete("a")
        store.delete("a")
        assert not store.exists("a")
        assert store.create("a", b"again")

    def test_a_walk_finds_everything_below(self, store: Store) -> None:
        for path in ("f/b", "f/a/c", "f/a/d/e", "g"):
            store.create(path, b"")
        assert sorted(store.walk("f")) == ["a/c", "a/d/e", "b"]
        assert sorted(store.walk()) == ["f/a/c", "f/a/d/e", "f/b", "g"]
        with pytest.raises(NotFound):
            list(store.walk("nowhere"))

    def test_a_listing_shows_which_objects_were_written_again(self, store: Store) -> None:
        for path in ("f/a", "f/b"):
            store.create(path, b"1")
        before = dict(store.walk_versions("f"))
        assert sorted(before) == ["a", "b"]
        store.replace("f/b", b"22")
        after = dict(store.walk_versions("f"))
        assert before["a"] == after["a"]
        assert before["b"] != after["b"]

    def test_an_object_comes_in_blocks_too(self, store: Store) -> None:
        data = bytes(range(256)) * 10_000
        store.create("a", data)
        blocks = list(store.blocks("a"))
        assert len(blocks) > 1
        assert b"".join(blocks) == data

    def test_any_name_can_be_written_and_read(self, store: Store) -> None:
        for name in ("ä ö", "100%", "a+b", "{x}[y]"):
            store.create(f"f/{name}", name.encode())
            assert store.read(f"f/{name}") == name.encode()
        assert store.list_names("f") == sorted(["ä ö", "100%", "a+b", "{x}[y]"])

    def test_nothing_is_left_over_by_those_who_lost(self, store: Store) -> None:
        store.create("f/a", b"")
        store.create("f/a", b"")
        store.replace("f/a", b"")
        assert list(store.walk()) == ["f/a"]
        assert store.sweep("f") == 0
