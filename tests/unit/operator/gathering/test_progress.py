"""What workers say of their job's parts, as it is believed: parts of the grid, however many they claim."""

import asyncio
import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from aiohttp import web

from dueby_api.parts import MAX_RUNS, NONE, Parts, all_parts, parts_of_runs
from dueby_operator.gathering.progress import JobObserver
from dueby_operator.jobs import names
from dueby_operator.kube.config_maps import CHECK_US
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod
from support.api import served
from support.decisions import NOW, Document, Started, infj, look, pod_of, started

BEGUN = started(deadline="20s")
PROGRESS = b'{"worker": "w0", "batches": 3, "imagesDone": 48, "partsCommitted": 3}'


def observe(
    begun: Started,
    pages: Mapping[str, bytes | None],
    *,
    asked: Counter[str] | None = None,
    more: Sequence[Document] = (),
    more_jobs: Sequence[BatchJob] = (),
) -> JobSnapshot:
    """The job as it is observed while each of its pods, and `more`, answers with these pages."""
    (create,) = begun.look.created

    async def ask(pod: Pod, page: str) -> bytes | None:
        if asked is not None:
            asked[page] += 1
        return pages.get(page)

    async def answer(request: web.Request) -> web.Response:
        if "/configmaps/" in request.path:
            return web.json_response(create.config_map)
        return web.json_response({"spec": {"renewTime": "2023-11-14T22:13:20Z"}})

    async def run() -> JobSnapshot:
        async with served(answer) as kube:
            observer = JobObserver(kube, ask=ask)
            seen = begun.job(pods=[*begun.pods, *more])
            batch = {seen.uid: [*(worker_job.job for worker_job in begun.worker_jobs), *more_jobs]}
            (found,), _ = await observer.observe([seen], batch, {seen.uid: seen.pods}, now_us=NOW)
            return found

    return asyncio.run(run())


def forged_jobs(count: int) -> list[BatchJob]:
    """Jobs like that of the workers, under other names."""
    (there,) = BEGUN.worker_jobs
    metadata = [there.job.metadata.replace(name=f"forged-{number}", uid=f"forged-{number}") for number in range(count)]
    return [there.job.replace(metadata=each) for each in metadata]


def parts_of_grid() -> int:
    plan, images = BEGUN.look.status.plan, BEGUN.look.status.images
    assert plan
    assert images
    return -(-images // plan.part_size)


def runs(*found: tuple[int, int]) -> bytes:
    return json.dumps({"runs": found}).encode()


@pytest.mark.parametrize(
    ("page", "parts"),
    [
        pytest.param(runs((0, 2), (5, 6)), parts_of_runs([(0, 2), (5, 6)]), id="some parts"),
        pytest.param(runs((0, 10**12)), all_parts(parts_of_grid()), id="a million millions"),
        pytest.param(runs((10**11, 10**12)), NONE, id="parts that the grid hasn't"),
        pytest.param(runs((3, 1), (1, 1)), NONE, id="runs that end before they begin"),
        pytest.param(runs((1, 3), (0, 2)), all_parts(3), id="runs in any order"),
        pytest.param(runs(*[(0, 1)] * (MAX_RUNS + 1)), NONE, id="too many runs"),
        pytest.param(runs((-1, 2)), NONE, id="a part before the first"),
        pytest.param(b'{"runs": ' + b"[" * 4000, NONE, id="lists without an end"),
        pytest.param(b'{"runs": [[0, 1e400]]}', NONE, id="beyond a double"),
        pytest.param(b"\xff", NONE, id="no text"),
        pytest.param(None, NONE, id="nothing"),
    ],
)
def test_parts_are_believed_as_far_as_the_grid_has_them(page: bytes | None, parts: Parts) -> None:
    found = observe(BEGUN, {"/progress": PROGRESS, "/parts": page})
    assert found.parts_there == parts
    assert {report.batches for report in found.progress.values()} == {3}


@pytest.mark.parametrize("page", [b"", b"[1]", b"[" * 4000, b'{"batches": NaN}', b'{"state": 5}', b'{"share": [1]}'])
def test_progress_that_makes_no_sense_is_no_answer(page: bytes) -> None:
    found = observe(BEGUN, {"/progress": page, "/parts": runs((0, 1))})
    assert not found.progress
    assert found.parts_there == NONE
    assert not found.fault


def test_only_workers_that_have_just_answered_are_asked_for_the_parts_and_few_of_them() -> None:
    asked: Counter[str] = Counter()
    observe(BEGUN, {"/progress": PROGRESS}, asked=asked)
    assert asked["/progress"] == len(BEGUN.pods) > 2
    assert asked["/parts"] == 2
    observe(BEGUN, {"/parts": runs((0, 1))}, asked=(silent := Counter[str]()))
    assert silent == {"/progress": len(BEGUN.pods)}


def test_steps_say_which_store_they_wait_for_and_are_believed_as_far_as_it_makes_sense() -> None:
    (create,) = look(infj()).created
    pod = pod_of(create)
    waits = b'{"waitsFor": {"store": "sink", "error": "no space left on device", "seconds": 31.5}}'
    found = observe(BEGUN, {"/progress": waits}, more=[pod])
    assert {name: (wait.store, wait.seconds) for name, wait in found.step_waits.items()} == {
        pod["metadata"]["name"]: ("sink", 31.5)
    }
    for page in (None, b"{}", b"[" * 4000, b'{"waitsFor": 3}', b'{"waitsFor": {"store": "sink", "seconds": -1}}'):
        silent = observe(BEGUN, {"/progress": page}, more=[pod])
        assert not silent.step_waits
        assert not silent.fault


def test_workers_are_believed_that_the_status_says_were_made_and_each_once() -> None:
    (there,), forged = BEGUN.worker_jobs, forged_jobs(5)
    assert BEGUN.look.status.workers_made == len(there.assignments)
    found = observe(BEGUN, {"/progress": PROGRESS}, more_jobs=forged)
    assert [worker_job.name for worker_job in found.worker_jobs] == [there.name]
    assert [job.name for job in found.without_config] == [job.name for job in forged]

    status = BEGUN.document["status"] | {"workersMade": len(there.assignments) - 1}
    fewer = replace(BEGUN, document=BEGUN.document | {"status": status})
    found = observe(fewer, {"/progress": PROGRESS}, more_jobs=forged)
    assert not found.worker_jobs
    assert len(found.without_config) == 1 + len(forged)


def test_of_a_jobs_pods_those_are_asked_that_are_its_workers() -> None:
    (pod, *_), asked = BEGUN.pods, Counter[str]()
    (there,) = BEGUN.worker_jobs
    labels = {names.INDEX_OF_POD: str(len(there.assignments))}, {names.JOB_OF_POD: "forged"}, {names.INDEX_OF_POD: ""}
    more = [copy.deepcopy(pod) for _ in labels]
    for number, (made, words) in enumerate(zip(more, labels, strict=True)):
        made["metadata"] |= {"name": f"more-{number}", "labels": made["metadata"]["labels"] | words}
    found = observe(BEGUN, {"/progress": PROGRESS}, asked=asked, more=more)
    assert asked["/progress"] == len(BEGUN.pods) == len(found.progress)


def test_a_config_map_that_is_not_there_is_asked_for_seldom() -> None:
    forged = forged_jobs(50)
    asked: list[int] = []
    now_us = [NOW]

    async def answer(request: web.Request) -> web.Response:
        asked.append(now_us[0])
        return web.json_response({"message": "not found"}, status=404)

    async def ask(pod: Pod, page: str) -> bytes | None:
        return None

    async def run() -> None:
        async with served(answer) as kube:
            observer, seen = JobObserver(kube, ask=ask), BEGUN.job(pods=())
            for now_us[0] in (NOW, NOW + CHECK_US // 2, NOW + CHECK_US):
                (found,), _ = await observer.observe([seen], {seen.uid: forged}, {}, now_us=now_us[0])
                assert list(found.without_config) == forged

    asyncio.run(run())
    assert Counter(asked) == {NOW: len(forged), NOW + CHECK_US: len(forged)}


def test_a_silent_pod_that_measures_for_everybody_is_asked_less_and_less_often() -> None:
    (create,) = look(infj()).created
    pod = parse(Pod, {**pod_of(create), "spec": {}})
    pod = pod.replace(metadata=pod.metadata.replace(labels={names.STEP: names.PROFILE}))
    now_s = [0.0]
    asked: list[str] = []

    async def ask(pod: Pod, page: str) -> bytes | None:
        asked.append(page)
        now_s[0] += 3.0
        return None

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({})

    async def run() -> None:
        async with served(answer) as kube:
            observer = JobObserver(kube, ask=ask, clock_s=lambda: now_s[0])
            for _ in range(20):
                await observer.observe([], {}, {}, others=[pod], now_us=NOW)
                await observer.ask_profiling([pod])
                now_s[0] += 2.0

    asyncio.run(run())
    assert 2 < len(asked) <= 5
