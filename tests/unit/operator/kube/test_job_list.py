"""Which jobs are asked for in a pass, and that none is missed."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from aiohttp import web

from dueby_operator import paths
from dueby_operator.kube.client import Refused
from dueby_operator.kube.job_list import ALL_S, UNDER_WAY, JobList
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.stored_jobs import StoredJob
from support.api import served
from support.control_loop import selected, synthetic
from support.stored import read_stored, read_waiting

Document = dict[str, Any]
PATH = paths.jobs_path("")
ALL = ""
OVER = {"Succeeded": "Complete", "Failed": "Failed"}


class Server:
    """An API server with some jobs, and a clock beside it."""

    def __init__(self, **phases: str) -> None:
        self.jobs: dict[str, Document] = {}
        self.version = 0
        for name, phase in phases.items():
            self.put(name, phase)
        self.asked: list[str] = []
        """Selectors of the lists."""
        self.selects: int = 200
        """The status of answers to lists with a selector."""
        self.now_s = 1000.0

    def put(self, name: str, phase: str, *, uid: str = "") -> None:
        """Make the job, or let it be in this phase."""
        job = synthetic(name)
        job["metadata"]["uid"] = uid or job["metadata"]["uid"]
        made = {"status": "True", "reason": "Made", "message": "", "lastTransitionTime": "2023-11-14T22:13:20Z"}
        conditions = [{"type": OVER[phase], **made}] if phase in OVER else []
        self.version += 1
        job["metadata"]["resourceVersion"] = str(self.version)
        self.jobs[name] = {**job, "status": {"phase": phase, "conditions": conditions}}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        selector = request.query.get("fieldSelector", ALL)
        self.asked.append(selector)
        if selector and self.selects != 200:
            return web.json_response({"message": "field label not supported: status.phase"}, status=self.selects)
        items = selected(list(self.jobs.values()), selector)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})


def phases(found: Iterable[JobSnapshot]) -> dict[str, str]:
    return {job.name: str(job.status.phase) for job in found}


class Passes:
    """One list, read again and again."""

    def __init__(self, server: Server, jobs: JobList) -> None:
        self.server, self.jobs = server, jobs

    async def look(self) -> dict[str, str]:
        """The phases of the jobs in a pass, two seconds after the one before it."""
        self.server.now_s += 2
        self.server.asked = []
        return phases(await self.jobs.read(read_stored, read_waiting))


def passes(server: Server, go: Any) -> None:
    """Let `go` look at the server."""

    async def run() -> None:
        async with served(server.answer) as kube:
            await go(Passes(server, JobList(kube, PATH, clock=lambda: server.now_s)))

    asyncio.run(run())


def test_jobs_that_are_over_are_listed_once_a_minute() -> None:
    server = Server(a="Running", b="Succeeded", c="Failed")

    async def go(loop: Passes) -> None:
        asked = []
        for _ in range(round(ALL_S) // 2 + 2):
            assert await loop.look() == {"a": "Running", "b": "Succeeded", "c": "Failed"}
            asked += server.asked
        assert asked == [ALL, *[UNDER_WAY] * (round(ALL_S) // 2 - 1), ALL, UNDER_WAY]

    passes(server, go)


def test_a_job_that_is_over_is_read_again_if_it_has_changed_only() -> None:
    server = Server(a="Running", b="Succeeded", c="Failed")
    read: list[str] = []

    async def go(loop: Passes) -> None:
        def note(job: StoredJob) -> JobSnapshot:
            read.append(job.metadata.name)
            return read_stored(job)

        await loop.jobs.read(note, read_waiting)
        assert sorted(read) == ["a", "b", "c"]
        server.now_s += ALL_S
        server.put("c", "Failed")
        read.clear()
        assert phases(await loop.jobs.read(note, read_waiting)) == {"a": "Running", "b": "Succeeded", "c": "Failed"}
        assert sorted(read) == ["a", "c"]

    passes(server, go)


def test_changes_and_new_jobs_are_seen_in_the_next_pass() -> None:
    server = Server(a="Running", b="Succeeded")

    async def go(loop: Passes) -> None:
        await loop.look()
        server.put("a", "Finishing")
        server.put("d", "Indexing")
        assert await loop.look() == {"a": "Finishing", "b": "Succeeded", "d": "Indexing"}
        assert server.asked == [UNDER_WAY]

    passes(server, go)


def test_one_that_was_edited_after_its_end_is_seen_as_it_is_in_each_pass() -> None:
    server = Server(a="Running", b="Failed")
    (failed,) = server.jobs["b"]["status"]["conditions"]
    failed |= {"reason": "Infeasible", "observedGeneration": 1}

    async def go(loop: Passes) -> None:
        await loop.look()
        server.now_s += ALL_S  # when the edit is seen
        server.jobs["b"]["metadata"] |= {"generation": 2, "resourceVersion": "edited"}
        await loop.look()
        failed["observedGeneration"] = 2  # the operator has written that it stays as it is
        server.jobs["b"]["metadata"]["resourceVersion"] = "written"
        for asked in ([UNDER_WAY, ALL], [UNDER_WAY]):
            found = await loop.jobs.read(read_stored, read_waiting)
            assert {job.resource_version for job in found if job.name == "b"} == {"written"}
            assert server.asked[-len(asked) :] == asked

    passes(server, go)


@pytest.mark.parametrize("phase", OVER)
def test_a_job_that_has_ended_is_seen_as_over_in_the_next_pass(phase: str) -> None:
    server = Server(a="Running", b="Succeeded")

    async def go(loop: Passes) -> None:
        await loop.look()
        server.put("a", phase)
        assert await loop.look() == {"a": phase, "b": "Succeeded"}
        assert server.asked == [UNDER_WAY, ALL]
        await loop.look()
        assert server.asked == [UNDER_WAY]

    passes(server, go)


def test_one_that_was_deleted_is_gone_in_the_next_pass_if_it_was_under_way_and_within_a_minute_if_it_was_over() -> None:
    server = Server(a="Running", b="Succeeded", c="Running")

    async def go(loop: Passes) -> None:
        await loop.look()
        del server.jobs["a"]
        assert await loop.look() == {"b": "Succeeded", "c": "Running"}
        del server.jobs["b"]
        assert await loop.look() == {"b": "Succeeded", "c": "Running"}
        server.now_s += ALL_S
        assert await loop.look() == {"c": "Running"}

    passes(server, go)


def test_a_job_that_was_over_and_is_made_again_is_there_once() -> None:
    server = Server(a="Succeeded")

    async def go(loop: Passes) -> None:
        await loop.look()
        server.put("a", "Indexing", uid="another")
        (found,) = await loop.jobs.read(read_stored, read_waiting)
        assert (found.uid, found.status.phase) == ("another", "Indexing")

    passes(server, go)


def test_a_server_that_does_not_select_is_asked_for_all_in_each_pass_and_whether_it_does_once_a_minute() -> None:
    server = Server(a="Running", b="Succeeded")
    server.selects = 400

    async def go(loop: Passes) -> None:
        asked = []
        for _ in range(4):
            assert await loop.look() == {"a": "Running", "b": "Succeeded"}
            asked += server.asked
        assert asked == [ALL, UNDER_WAY, ALL, ALL, ALL]
        server.selects = 200
        server.now_s += ALL_S
        await loop.look()
        assert await loop.look() == {"a": "Running", "b": "Succeeded"}
        assert server.asked == [UNDER_WAY]

    passes(server, go)


def test_another_refusal_is_no_sign_of_an_old_server() -> None:
    server = Server(a="Running")
    server.selects = 403

    async def go(loop: Passes) -> None:
        await loop.look()
        with pytest.raises(Refused):
            await loop.look()

    passes(server, go)


def test_after_a_list_that_failed_all_are_listed() -> None:
    server = Server(a="Running", b="Succeeded")

    async def go(loop: Passes) -> None:
        def fail(job: StoredJob) -> JobSnapshot:
            raise OSError("away")

        with pytest.raises(OSError, match="away"):
            await loop.jobs.read(fail, fail)
        assert await loop.look() == {"a": "Running", "b": "Succeeded"}

    passes(server, go)
