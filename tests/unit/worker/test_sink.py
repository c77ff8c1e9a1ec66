"""Laying claim to a sink, being refused by one, emptying it, and knowing which parts it holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.grid import Grid
from dueby_worker.output.parts import part_name
from dueby_worker.output.sink import SUCCESS, Holdings, admit, empty, lay_claim, read_claim
from dueby_worker.output.sink_manifest import CLAIM
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.worker import COMPONENTS, a_claim

GRID = Grid(images=100, part_size=10)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def put_parts(store: Store, *parts: int) -> None:
    for part in parts:
        store.create(part_name(GRID, part), b"rows")


def test_the_first_worker_lays_claim_to_an_empty_sink_and_the_others_find_it_theirs(store: Store) -> None:
    for _ in range(3):
        lay_claim(store, a_claim())
    assert read_claim(store) == a_claim()
    assert json.loads(store.read(CLAIM))["partSize"] == 10


def test_the_name_of_the_job_decides_nothing(store: Store) -> None:
    lay_claim(store, a_claim(job="monday"))
    lay_claim(store, a_claim(job="tuesday"))
    assert read_claim(store) == a_claim(job="monday")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"index": "j" * 64}, "its images were others (index jjjjjjjjjjjj, now iiiiiiiiiiii)", id="images"),
        pytest.param({"model": "resnet50"}, "its model was resnet50 (now efficientnet_b0)", id="model"),
        pytest.param({"weights": "v" * 64}, "its weights were others (vvvvvvvvvvvv, now wwwwwwwwwwww)", id="weights"),
        pytest.param({"image_size": 320}, "its image size was 320 (now 224)", id="image size"),
        pytest.param({"precision": "bf16"}, "its precision was bf16 (now fp32)", id="precision"),
        pytest.param({"classes": 2}, "it had 2 classes (now 1000)", id="classes"),
        pytest.param({"labels": "m" * 64}, "its labels were others", id="labels"),
        pytest.param(
            {"preprocessing": {"resize_side": 232, "mean": [0.1, 0.2, 0.3]}},
            "images were prepared otherwise (resize_side 232, now 256)",
            id="preprocessing",
        ),
    ],
)
def test_a_sink_of_another_job_is_refused_with_what_differs(
    store: Store, changes: dict[str, Any], sentence: str
) -> None:
    lay_claim(store, a_claim(components=COMPONENTS.replace(**changes)))
    with pytest.raises(Invalid) as caught:
        lay_claim(store, a_claim())
    assert caught.value.field == "spec.sink.uri"
    assert sentence in caught.value.message
    assert "ifExists: Overwrite" in caught.value.message


def test_everything_that_differs_is_said_at_once(store: Store) -> None:
    lay_claim(store, a_claim(components=COMPONENTS.replace(model="resnet50", precision="bf16")))
    with pytest.raises(Invalid, match=r"its model was resnet50.*; its precision was bf16"):
        lay_claim(store, a_claim())


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        pytest.param(a_claim(part_size=20), "partSize: .* begun with partSize 20 and can't go on with 10", id="size"),
        pytest.param(a_claim(images=99), "images: .* begun with images 99 and can't go on with 100", id="images"),
    ],
)
def test_the_grid_of_a_sink_never_moves(store: Store, claim: Any, sentence: str) -> None:
    lay_claim(store, claim)
    with pytest.raises(Invalid, match=sentence):
        lay_claim(store, a_claim())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"{", "is not JSON", id="cut short"),
        pytest.param(b"[]", "expected a mapping", id="a list"),
        pytest.param(b'{"formatVersion": 2}', "has format version 2, and this is 1", id="of a later DueBy"),
        pytest.param(b'{"formatVersion": 1}', "is missing", id="without its fields"),
    ],
)
def test_a_claim_that_can_not_be_read_is_the_sink_s_fault(store: Store, content: bytes, sentence: str) -> None:
    store.create(CLAIM, content)
    with pytest.raises(Invalid, match=sentence):
        read_claim(store)


def test_parts_without_a_claim_are_nobody_s_to_go_on_with(store: Store) -> None:
    put_parts(store, 1)
    with pytest.raises(Invalid, match=r"holds parts but no _dueby/job\.json"):
        lay_claim(store, a_claim())


def test_other_files_in_a_sink_don_t_matter(store: Store) -> None:
    store.create("notes.txt", b"mine")
    lay_claim(store, a_claim())
    empty(store)
    assert store.read("notes.txt") == b"mine"


def test_fail_refuses_a_sink_in_use_and_takes_a_new_one(store: Store) -> None:
    assert admit(store, "Fail") is None
    lay_claim(store, a_claim())
    with pytest.raises(Invalid, match=r"is in use by job catalog, and sink\.ifExists is Fail"):
        admit(store, "Fail")


def test_resume_goes_on_with_the_claim_that_is_there(store: Store) -> None:
    assert admit(store, "Resume") is None
    lay_claim(store, a_claim())
    assert admit(store, "Resume") == a_claim()


def test_overwrite_leaves_nothing_of_the_old_job(store: Store) -> None:
    lay_claim(store, a_claim(components=COMPONENTS.replace(model="resnet50")))
    put_parts(store, 0, 5)
    store.create(SUCCESS, b"{}")
    assert admit(store, "Overwrite") is None
    assert store.list_names() == []
    lay_claim(store, a_claim())


class Killed(Exception):
    """The process is gone here."""


class KilledStore:
    """A store whose process is killed before its n-th deletion."""

    def __init__(self, store: Store, *, before: int) -> None:
        self._store = store
        self._left = before

    def delete(self, path: str) -> None:
        if self._left == 0:
            raise Killed
        self._left -= 1
        self._store.delete(path)

    def list_names(self, folder: str = "") -> list[str]:
        return self._store.list_names(folder)


@pytest.mark.parametrize("before", range(5))
def test_emptying_can_be_killed_anywhere_and_no_old_row_is_taken_for_a_new_one(store: Store, before: int) -> None:
    lay_claim(store, a_claim(components=COMPONENTS.replace(model="resnet50")))
    put_parts(store, 0, 5)
    store.create(SUCCESS, b"{}")
    killed: Any = KilledStore(store, before=before)
    if before < 4:
        with pytest.raises(Killed):
            empty(killed)
        with pytest.raises(Invalid, match="another job"):
            lay_claim(store, a_claim())
        assert not store.exists(SUCCESS) or before == 0
    empty(store)
    lay_claim(store, a_claim())


def test_holdings_list_the_sink_when_asked_and_not_again_at_once(store: Store) -> None:
    clock = Clock()
    holdings = Holdings(store, GRID, clock=clock)
    put_parts(store, 1, 2)
    holdings.refresh()
    assert holdings.missing() == {0, 3, 4, 5, 6, 7, 8, 9}
    put_parts(store, 3)
    holdings.refresh()
    assert 3 not in holdings
    clock.now_s += 2.1
    holdings.refresh()
    assert 3 in holdings


def test_a_look_at_one_part_sees_it_at_once(store: Store) -> None:
    holdings = Holdings(store, GRID)
    assert not holdings.look(4)
    put_parts(store, 4)
    assert holdings.look(4)
    assert 4 in holdings


def test_watching_ends_when_every_part_is_there(store: Store) -> None:
    holdings = Holdings(store, GRID)
    holdings.add(*range(9))
    put_parts(store, 9)
    holdings.watch({9})
    assert holdings.is_complete
