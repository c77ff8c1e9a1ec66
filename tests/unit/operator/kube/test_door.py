"""Which jobs of a namespace are read, which wait, and of which nothing is kept."""

import asyncio
import json
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.schema import Raw
from dueby_operator import paths
from dueby_operator.control.chain import refusal
from dueby_operator.control.clear import clear
from dueby_operator.kube import door
from dueby_operator.kube.door import Door
from dueby_operator.kube.read_job import MAX_SPEC_BYTES
from dueby_operator.objects.parse import parse
from dueby_operator.objects.stored_jobs import StoredJob
from support.control_loop import Clock, Store, reconciler
from support.decisions import infj
from support.operator import NOW
from support.stored import raw, read_stored, read_waiting

ENDED = {
    "type": "Failed",
    "status": "True",
    "reason": "Stopped",
    "message": "a" * 99,
    "lastTransitionTime": "2001-01-01T00:00:00Z",
}


def stored(name: str, made: int = 0, *, namespace: str = "team", phase: str = "Pending", **spec: Any) -> StoredJob:
    """A job that was made in this minute; one that is over ended long ago."""
    metadata = {"name": name, "namespace": namespace, "uid": name, "creationTimestamp": f"2026-11-30T12:{made:02}:00Z"}
    conditions = [ENDED] if phase == "Failed" else []
    return parse(StoredJob, raw(infj(metadata=metadata, status={"phase": phase, "conditions": conditions}, **spec)))


@pytest.fixture(autouse=True)
def _room_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MAX_UNDER_WAY_BYTES", int(2.5 * stored("a").memory))
    monkeypatch.setattr(door, "MAX_OVER_BYTES", int(2.5 * stored("a", phase="Failed").memory))
    monkeypatch.setattr(door, "MAX_WAITING", 1)


@pytest.mark.parametrize(
    ("jobs", "read_before", "let_in", "waiting"),
    [
        pytest.param([stored("a", 2), stored("b", 1)], "", "ab", "", id="all for which there is room"),
        pytest.param([stored("a", 3), stored("b", 1), stored("c", 2)], "", "bc", "a", id="the youngest waits"),
        pytest.param([stored("a", 3), stored("b", 1), stored("c", 2)], "ac", "ac", "b", id="those read before stay"),
        pytest.param([stored(name, 1) for name in "abcd"], "", "cd", "a", id="of more than wait nothing is kept"),
        pytest.param(
            [stored("a"), stored("b"), stored("c", namespace="x")], "", "abc", "", id="each namespace has its own room"
        ),
        pytest.param(
            [stored("a"), stored("b"), stored("c", phase="Failed")],
            "",
            "abc",
            "",
            id="those that are over hold up nobody",
        ),
        pytest.param(
            [stored("a", 1, phase="Failed"), stored("b", 3, phase="Failed"), stored("c", 2, phase="Failed")],
            "",
            "bc",
            "",
            id="of jobs that are over the youngest are read",
        ),
        pytest.param(
            [
                *(stored(name, 3, phase="Failed") for name in "ab"),
                stored("c", 1, phase="Failed", ttlAfterFinished="1h"),
            ],
            "",
            "ab",
            "c",
            id="of the others those are kept that are to be deleted",
        ),
    ],
)
def test_jobs_are_let_in(jobs: list[StoredJob], read_before: str, let_in: str, waiting: str) -> None:
    entrance = Door(set(read_before), read_waiting)
    for job in jobs:
        entrance.offer(job, None)
    assert sorted(job.metadata.name for job in entrance.let_in() if isinstance(job, StoredJob)) == list(let_in)
    assert [job.name for job in entrance.turned_away()] == list(waiting)
    assert sum(entrance.left_out.values()) == len(jobs) - len(let_in) - len(waiting)


def test_a_job_that_waits_says_for_what_and_has_not_failed() -> None:
    waiting = read_waiting(stored("a"))
    assert waiting
    manifest = waiting.manifest
    assert isinstance(manifest, Invalid)
    (condition,) = refusal(manifest).conditions
    assert condition.reason.word == "TooManyJobs"
    assert "more or larger jobs than are read at once" in condition.message


@pytest.mark.parametrize(("own", "is_kept"), [("", False), ("1h", True), ("99999h", True), ("soon", False)])
def test_of_a_job_that_is_over_nothing_but_its_end_is_kept_once_it_is_to_be_deleted(own: str, is_kept: bool) -> None:
    kept = read_waiting(stored("a", phase="Failed", ttlAfterFinished=own))
    assert (kept is not None) is is_kept
    if kept:
        (deletion,) = clear(kept, now_us=NOW)
        assert (deletion.path, deletion.uid) == (paths.jobs_path("team", "a"), "a")
        assert [(found.type, found.message) for found in kept.status.conditions] == [("Failed", "")]


def test_jobs_for_which_there_is_no_room_are_deleted_after_their_time_to_live() -> None:
    store = Store()
    for name in "abc":
        job = infj(status={"phase": "Failed", "conditions": [ENDED]}, ttlAfterFinished="1h")
        job["metadata"] |= {"name": name, "uid": f"uid-of-{name}"}
        store.add(paths.jobs_path("team", name), job)

    async def run() -> None:
        async with reconciler(store, Clock(), {}) as loop:
            await loop.reconcile()

    asyncio.run(run())
    assert [path for path in store.objects if "/inferencejobs/" in path] == []


@pytest.mark.parametrize(("more", "is_read"), [(0, True), (1, False)])
def test_a_job_of_more_than_64_kib_is_not_read(more: int, is_read: bool) -> None:
    empty = infj(worker={"annotations": {"a": ""}})
    length = MAX_SPEC_BYTES - len(json.dumps(empty["spec"])) - len('"b": "", ') + more
    words = {"a": "x" * (length // 2), "b": "x" * (length - length // 2)}
    job = parse(StoredJob, raw(infj(worker={"annotations": words})))
    manifest = read_stored(job).manifest
    assert isinstance(manifest, Invalid) is not is_read
    if isinstance(manifest, Invalid):
        assert str(manifest).startswith("spec: has 65,537 bytes as JSON, but a job may have 65,536")


def test_what_takes_memory_is_reckoned_with_before_it_is_read() -> None:
    short = stored("a")
    wide = short.replace(spec=Raw(b"[" + b",".join([b"[]"] * 1000) + b"]"))
    assert wide.memory - short.memory > 1000 * 64
