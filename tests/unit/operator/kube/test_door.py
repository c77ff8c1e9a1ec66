"""Which jobs of a namespace are read, which wait, and of which nothing is kept."""

import json

import pytest

from dueby_api.errors import Invalid
from dueby_api.schema import Raw
from dueby_operator.control.chain import refusal
from dueby_operator.kube import door
from dueby_operator.kube.door import Door
from dueby_operator.kube.read_job import MAX_SPEC_BYTES
from dueby_operator.objects.parse import parse
from dueby_operator.objects.stored_jobs import StoredJob
from support.decisions import infj
from support.stored import raw, read_stored, read_waiting


def stored(name: str, made: int = 0, *, namespace: str = "team", phase: str = "Pending") -> StoredJob:
    """A job that was made in this minute."""
    metadata = {"name": name, "namespace": namespace, "uid": name, "creationTimestamp": f"2026-11-30T12:{made:02}:00Z"}
    return parse(StoredJob, raw(infj(metadata=metadata, status={"phase": phase})))


@pytest.fixture(autouse=True)
def _room_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MAX_UNDER_WAY_BYTES", int(2.5 * stored("a").memory))
    monkeypatch.setattr(door, "MAX_OVER_BYTES", int(2.5 * stored("a").memory))
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
            [stored("a", 1, phase="Failed"), stored("b", 3, phase="Failed"), stored("c", 2, phase="Succeeded")],
            "",
            "bc",
            "",
            id="of jobs that are over the youngest are read",
        ),
    ],
)
def test_jobs_are_let_in(jobs: list[StoredJob], read_before: str, let_in: str, waiting: str) -> None:
    entrance = Door(set(read_before))
    for job in jobs:
        entrance.offer(job, None)
    assert sorted(job.metadata.name for job in entrance.let_in() if isinstance(job, StoredJob)) == list(let_in)
    assert [job.metadata.name for job in entrance.waiting() if isinstance(job, StoredJob)] == list(waiting)
    assert sum(entrance.left_out.values()) == len(jobs) - len(let_in) - len(waiting)


def test_a_job_that_waits_says_for_what_and_has_not_failed() -> None:
    manifest = read_waiting(stored("a")).manifest
    assert isinstance(manifest, Invalid)
    (condition,) = refusal(manifest).conditions
    assert condition.reason.word == "TooManyJobs"
    assert "more or larger jobs than are read at once" in condition.message


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
