"""Which sinks a job goes on with, which it is refused by, and which it empties."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.grid import Grid
from dueby_api.schema import validate
from dueby_api.step_config import IndexConfig
from dueby_api.step_messages import FinishResult
from dueby_worker.output.admission import SinkChanged, admit
from dueby_worker.output.part_names import part_name
from dueby_worker.output.quantized import quantized_path
from dueby_worker.output.sink import require_sink_manifest
from dueby_worker.output.sink_manifest import SINK_MANIFEST, SinkManifest, read_sink_manifest
from dueby_worker.output.success import SUCCESS, encode_success
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.worker import COMPONENTS, a_manifest

GRID = Grid(images=100, part_size=10)
CREATED_US = 1_800_000_000_000_000
HOUR_US = 3_600_000_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


def a_config(if_exists: str, **changes: Any) -> IndexConfig:
    document = {
        "job": "catalog",
        "sink": {"uri": "/rows", "ifExists": if_exists},
        "source": {"uri": "/photos"},
        "model": {"name": "efficientnet_b0"},
    }
    return validate(IndexConfig, document | changes)


def in_cluster(if_exists: str, **changes: Any) -> IndexConfig:
    return a_config(if_exists, **({"uid": "u-1", "createdUnixMicros": CREATED_US} | changes))


def put_parts(store: Store, *parts: int, grid: Grid = GRID) -> None:
    for part in parts:
        store.create(part_name(grid, part), b"rows")


def begin(store: Store, manifest: SinkManifest, *, finished_us: int | None = None) -> None:
    require_sink_manifest(store, manifest)
    put_parts(store, 0, 5, grid=manifest.grid)
    if finished_us is not None:
        put_success(store, manifest, finished_us)


def put_success(store: Store, manifest: SinkManifest, finished_us: int, *uids: str) -> None:
    success = FinishResult(
        images=manifest.images,
        rows=manifest.images,
        errors=0,
        fingerprint=manifest.fingerprint,
        part_size=manifest.part_size,
        mark=manifest.grid.mark,
        finished_unix_micros=finished_us,
        uids=uids,
    )
    store.replace(SUCCESS, encode_success(success))


OWN, OTHERS, UNKNOWN = a_manifest(uid="u-1"), a_manifest(uid="u-0", job="before"), a_manifest()


@pytest.mark.parametrize(
    ("manifest", "finished_us", "changes", "is_kept"),
    [
        pytest.param(OWN, CREATED_US + HOUR_US, {}, True, id="its own, finished: its status was lost"),
        pytest.param(OWN, None, {}, True, id="its own, half done"),
        pytest.param(OTHERS, CREATED_US + HOUR_US, {}, True, id="finished since it was created"),
        pytest.param(UNKNOWN, CREATED_US + HOUR_US, {}, True, id="finished since by a run without a cluster"),
        pytest.param(OTHERS, CREATED_US - HOUR_US, {}, False, id="finished before it was created"),
        pytest.param(OTHERS, CREATED_US + 1_000_000, {}, False, id="finished just then, by clocks that may differ"),
        pytest.param(OTHERS, None, {}, False, id="begun by another job"),
        pytest.param(UNKNOWN, None, {}, False, id="begun by nobody knows whom"),
        pytest.param(OTHERS, CREATED_US - HOUR_US, {"isRestored": True}, True, id="restored from a backup"),
        pytest.param(UNKNOWN, CREATED_US, {"uid": None, "createdUnixMicros": None}, False, id="without a cluster"),
    ],
)
def test_overwrite_spares_what_the_job_itself_or_a_later_one_has_done(
    store: Store, manifest: SinkManifest, finished_us: int | None, changes: dict[str, Any], is_kept: bool
) -> None:
    begin(store, manifest, finished_us=finished_us)
    admission = admit(store, in_cluster("Overwrite", **changes))
    assert admission.manifest == (manifest if is_kept else None)
    assert len(store.list_names()) == 2 + (finished_us is not None)


@pytest.mark.parametrize(("uids", "is_kept"), [(("u-0", "u-1"), True), (("u-0",), False)])
def test_overwrite_spares_what_the_job_has_finished_for_another_one(
    store: Store, uids: tuple[str, ...], is_kept: bool
) -> None:
    begin(store, OTHERS)
    put_success(store, OTHERS, CREATED_US + 1_000_000, *uids)
    assert admit(store, in_cluster("Overwrite")).manifest == (OTHERS if is_kept else None)


def test_a_success_of_the_job_before_says_nothing_of_the_rows_that_are_there(store: Store) -> None:
    begin(store, OTHERS)
    put_success(store, a_manifest(uid="u-9"), CREATED_US + HOUR_US)
    assert admit(store, in_cluster("Overwrite")).manifest is None


def test_fail_refuses_a_sink_in_use_and_takes_a_new_one(store: Store) -> None:
    assert admit(store, a_config("Fail")).manifest is None
    begin(store, UNKNOWN)
    with pytest.raises(Invalid, match=r"is in use by job catalog, and sink\.ifExists is Fail"):
        admit(store, a_config("Fail"))


def test_fail_takes_a_sink_that_the_job_itself_has_begun(store: Store) -> None:
    begin(store, OWN)
    assert admit(store, in_cluster("Fail")).manifest == OWN
    with pytest.raises(Invalid, match="is in use"):
        admit(store, in_cluster("Fail", uid="u-2"))


def test_resume_goes_on_with_the_manifest_that_is_there(store: Store) -> None:
    assert admit(store, a_config("Resume")).manifest is None
    begin(store, UNKNOWN)
    assert admit(store, a_config("Resume")).manifest == UNKNOWN


def test_overwrite_takes_a_sink_whose_manifest_is_damaged(store: Store) -> None:
    store.create(SINK_MANIFEST, b"{")
    put_parts(store, 0)
    admit(store, in_cluster("Overwrite")).empty()
    assert store.list_names() == []
    assert read_sink_manifest(store) is None


def test_overwrite_leaves_nothing_of_the_old_job(store: Store) -> None:
    store.create("notes.txt", b"mine")
    begin(store, a_manifest(components=COMPONENTS.replace(model="resnet50")), finished_us=0)
    admission = admit(store, a_config("Overwrite"))
    assert admission.manifest is None
    assert store.exists(SUCCESS)
    admission.empty()
    assert store.list_names() == ["notes.txt"]
    require_sink_manifest(store, a_manifest())


def test_overwrite_leaves_no_quantized_network_of_a_job_that_began(store: Store) -> None:
    paths = [quantized_path(name * 32) for name in ("ab", "cd")]
    for path in paths:
        store.create(path, b"damaged")
    # No worker has begun: the index step was killed when it had quantized, and is repeated.
    admit(store, a_config("Overwrite")).empty()
    assert all(map(store.exists, paths))

    require_sink_manifest(store, a_manifest())
    admit(store, a_config("Overwrite")).empty()
    assert not any(map(store.exists, paths))


class Interrupted(Exception):
    """The process is gone here."""


class TouchyStore:
    """A store that does something before its n-th deletion, of which there may be several at the same time."""

    def __init__(self, store: Store, *, before: int, act: Callable[[], None]) -> None:
        self._store = store
        self._left = before
        self._act = act
        self._lock = threading.Lock()

    def delete(self, path: str) -> None:
        with self._lock:
            acts = self._left == 0
            self._left -= 1
        if acts:
            self._act()
        self._store.delete(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("before", range(5))
def test_emptying_can_be_killed_anywhere_and_no_old_row_is_taken_for_a_new_one(store: Store, before: int) -> None:
    begin(store, a_manifest(components=COMPONENTS.replace(model="resnet50")), finished_us=0)

    def die() -> None:
        raise Interrupted

    killed: Any = TouchyStore(store, before=before, act=die)
    if before < 4:
        with pytest.raises(Interrupted):
            admit(killed, a_config("Overwrite")).empty()
        with pytest.raises(Invalid, match="another job"):
            require_sink_manifest(store, a_manifest())
        assert not store.exists(SUCCESS) or before == 0
    admit(store, a_config("Overwrite")).empty()
    require_sink_manifest(store, a_manifest())


@pytest.mark.parametrize("before", range(1, 4))
def test_a_finish_step_that_is_late_leaves_no_success_in_an_emptied_sink(store: Store, before: int) -> None:
    begin(store, OTHERS)
    late: Any = TouchyStore(store, before=before, act=lambda: put_success(store, OTHERS, CREATED_US))
    admit(late, in_cluster("Overwrite")).empty()
    assert store.list_names() == []


def test_a_step_that_was_stopped_for_long_empties_no_sink_that_is_filled_again(store: Store) -> None:
    begin(store, OTHERS, finished_us=0)
    paused = admit(store, in_cluster("Overwrite"))
    refilled = a_manifest(uid="u-2")
    admit(store, in_cluster("Overwrite", uid="u-2")).empty()
    begin(store, refilled, finished_us=CREATED_US)
    there = store.list_names()
    with pytest.raises(SinkChanged, match="begun or emptied by another job or run"):
        paused.empty()
    assert store.list_names() == there
    assert read_sink_manifest(store) == refilled


@pytest.mark.parametrize("before", range(1, 4))
def test_nor_one_that_is_stopped_while_it_empties(store: Store, before: int) -> None:
    begin(store, OTHERS, finished_us=0)
    refilled = a_manifest(uid="u-2")

    def refill() -> None:
        admit(store, in_cluster("Overwrite", uid="u-2")).empty()
        begin(store, refilled)

    paused: Any = TouchyStore(store, before=before, act=refill)
    try:
        admit(paused, in_cluster("Overwrite")).empty()
    except SinkChanged:
        pass
    else:
        assert before == 3  # it was stopped between its last look and the deletion of the manifest
    assert len([name for name in store.list_names() if refilled.grid.mark in name]) == 2
