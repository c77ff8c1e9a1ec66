"""The run's record: every declared field is written by some run, and the report makes something of each."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dueby.cli.summary import summarise
from dueby.local.processes import Process
from dueby.local.record import Record
from dueby.local.slots import Slot
from dueby.report.page import Report, render_page
from dueby.report.run import parse_run
from dueby_api.grid import Share
from dueby_api.inference_job import parse_job
from dueby_api.input_cost import InputCost
from dueby_api.plan import PlanAnswer, PlannedGroup, PlannedWorker
from dueby_api.run_record import (
    MachineRecord,
    PlanFile,
    ProgressFile,
    ReplanRecord,
    Revision,
    Summary,
    WorkerRecord,
)
from dueby_api.schema import Spec
from dueby_api.step_messages import ParityCheck, WorkerProgress
from dueby_operator.model.actions import StartWorkers
from dueby_operator.model.job_model import Assignment, WorkerState
from dueby_planner.deadline_classes import Verdict, judge
from support.planner import choice, group, job_document, problem

KINDS = (
    PlanFile,
    Revision,
    PlanAnswer,
    PlannedGroup,
    PlannedWorker,
    ProgressFile,
    WorkerRecord,
    ReplanRecord,
    MachineRecord,
    Summary,
)
FIELDS = [(kind, found.name) for kind in KINDS for found in msgspec.structs.fields(kind)]
# The operator keeps the same type in a ConfigMap, to go on with its workers after a restart; these are for it alone.
FOR_THE_OPERATOR = {(PlannedWorker, name) for name in ("revision", "share", "start_us", "step_ratio", "until_us")}
START_US = 1_795_572_005_000_000
SECOND = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Written:
    """What one run leaves, before it is encoded."""

    plan: PlanFile
    progress: ProgressFile
    summary: Summary

    def documents(self) -> dict[str, Spec]:
        return {"plan.json": self.plan, "progress.json": self.progress, "summary.json": self.summary}


def assignment(name: str, *, share: Share, revision: int = 1) -> Assignment:
    return Assignment(
        worker=name,
        revision=revision,
        device_class="a",
        # What other jobs have shown is part of it.
        choice=choice(8, 500_000, 2 * SECOND, expected_warmup_us=SECOND, step_ratio=1.1, engine="openvino"),
        iterations=9,
        share=share,
    )


def process(planned: Assignment, *, images: int, folder: Path) -> Process:
    """A running worker and its progress; in truth its process has ended already."""
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    return Process(
        assignment=planned,
        slot=Slot(name="a/0", device_class="a", threads=1),
        process=ended,
        created_us=START_US,
        folder=folder,
        part_size=8,
        state="running",
        progress=WorkerProgress(
            worker=planned.worker,
            state="running",
            images_done=images,
            images_failed=2,
            parts_committed=images // 8,
            step_us=510_000,
            warmup_us=SECOND,
            startup_us=SECOND,
            parity=ParityCheck(ok=True, max_difference=1e-6, same_top1=1.0, sentence="Within 0.000001 of eager."),
        ),
    )


def record(verdict: Verdict, folder: Path) -> Written:
    """The record of a run of two workers, of which one is lost and replaced."""
    job = parse_job(
        job_document(
            images=160,
            maxFailedImages="5%",
            model={"name": "resnet18", "weights": "none", "labels": "labels.txt", "classes": 7, "imageSize": 64},
        )
    )
    cost = InputCost(
        decode_us=1640, get_us=212, bytes_per_image=77_300, bandwidth_bytes_per_s=4e8, sampled=64, unreadable=1
    )
    written = Record(start_us=START_US, deadline_us=START_US + 30 * SECOND, images=160, cost=cost)
    first = (assignment("w0", share=Share(first=0, end=10)), assignment("w1", share=Share(first=10, end=20)))
    helper = replace(assignment("w2", share=Share(first=0, end=0), revision=2), until_us=START_US + 60 * SECOND)
    began, lost = START_US + SECOND, START_US + 6 * SECOND
    grid: dict[str, Any] = {"images": 160, "part_size": 8, "fingerprint": None}
    start = StartWorkers(assignments=first, revision=1, reason="Started", verdict=verdict, **grid)
    written.started(start, now_us=began, before=0)
    help_ = StartWorkers(assignments=(helper,), revision=2, reason="WorkerLost", **grid)
    written.started(help_, now_us=lost, before=1)
    processes = [
        process(planned, images=images, folder=folder)
        for planned, images in zip((*first, helper), (80, 32, 48), strict=True)
    ]
    for second, done in ((2, 24), (5, 88)):
        written.sample(processes, now_us=START_US + second * SECOND, done=done, failed=2)
    ends: tuple[WorkerState, ...] = ("done", "lost", "done")
    for ended, state in zip(processes, ends, strict=True):
        ended.state, ended.ended_us = state, START_US + 9 * SECOND
    written.sample(processes, now_us=START_US + 9 * SECOND, done=160, failed=2)
    summary = summarise(
        job,
        written,
        now_us=START_US + 9 * SECOND,
        verdict=verdict,
        done=160,
        failed=2,
        warned=3,
        interrupted=False,
        processes=processes,
        machine=MachineRecord(cores=8.0, memory_mib=16_384, devices={"a": 2}),
    )
    return Written(plan=written.plan_file(), progress=written.progress_file(processes), summary=summary)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Written, ...]:
    """One that can be in time, at a mini-batch size that was not measured; and a Soft one that can't."""
    sizes = choice(8, 500_000, 2 * SECOND, interpolation="the next larger size's", engine="openvino")
    folder = tmp_path_factory.mktemp("worker")
    questions = (
        problem(group(sizes, count=2), images=160, time=29 * SECOND, confidence=0.95, run=0.01),
        problem(group(sizes, count=2), images=160, time=3 * SECOND),
    )
    feasible, late = (judge(question, "Soft") for question in questions)
    assert feasible.plan
    assert late.infeasible
    assert late.plan
    return tuple(record(verdict, folder) for verdict in (feasible, late))


def within(value: object) -> Iterator[Spec]:
    """Each part of a document."""
    if isinstance(value, Spec):
        yield value
        for found in msgspec.structs.fields(type(value)):
            yield from within(getattr(value, found.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from within(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from within(item)


def default_of(kind: type[Spec], name: str, *, otherwise: object = None) -> object:
    (found,) = (one for one in msgspec.structs.fields(kind) if one.name == name)
    if found.default_factory is not msgspec.NODEFAULT:
        return found.default_factory()
    return otherwise if found.default is msgspec.NODEFAULT else found.default


def test_what_workers_did_after_the_last_sample_is_not_lost(tmp_path: Path) -> None:
    written = Record(start_us=START_US, deadline_us=START_US + 30 * SECOND, images=160, cost=None)
    workers = [
        process(assignment(name, share=Share(first=0, end=10)), images=images, folder=tmp_path)
        for name, images in (("w0", 74), ("w1", 80))
    ]
    written.sample(workers, now_us=START_US + SECOND, done=154, failed=0)
    # The sink was listed after the workers were asked.
    written.sample(workers, now_us=START_US + 2 * SECOND, done=160, failed=0)
    workers[0].progress = workers[0].progress.replace(images_done=80)
    written.close(workers, now_us=START_US + 2 * SECOND)
    samples = {name: worker.samples for name, worker in written.progress_file(workers).workers.items()}
    assert [own[-1] for own in samples.values()] == [(2.0, 80), (2.0, 80)]


def test_every_declared_field_is_written_by_some_run(runs: tuple[Written, ...]) -> None:
    parts = [part for run in runs for document in run.documents().values() for part in within(document)]
    unwritten = [
        f"{kind.__name__}.{name}"
        for kind, name in FIELDS
        if all(getattr(part, name) == default_of(kind, name) for part in parts if type(part) is kind)
    ]
    assert not unwritten


@pytest.mark.parametrize(("kind", "name"), [field for field in FIELDS if field not in FOR_THE_OPERATOR])
def test_the_report_makes_something_of_every_field(kind: type[Spec], name: str, runs: tuple[Written, ...]) -> None:
    """With another value in the field the page is another one, if not of the whole record, then of an older one."""
    assert any(
        page_of(documents) != page_of({file: change(document) for file, document in documents.items()})
        for run in runs
        for documents in variants(run.documents())
        for change in (
            partial(changed, kind=kind, name=name, to=lambda value: default_of(kind, name, otherwise=value)),
            partial(changed, kind=kind, name=name, to=another),
        )
    )


def variants(documents: dict[str, Spec]) -> Iterator[dict[str, Spec]]:
    """The record; what is left of it when the run is killed; and without the sentences that say the same once more."""
    yield documents
    for missing in documents:
        yield {file: document for file, document in documents.items() if file != missing}
    silent = partial(changed, kind=ReplanRecord, name="message", to=lambda _: None)
    yield {file: silent(document) for file, document in documents.items()}


def page_of(documents: dict[str, Spec]) -> str:
    files = {file: json.dumps(document.document()).encode() for file, document in documents.items()}
    run = parse_run("20261125T020005Z", files)
    assert len(run.notes) == 4 - len(files)  # none of those that are there is damaged
    return render_page(Report(sink="file:///results", run=run, parts=20, failed=(), photos=()))


def changed(value: Any, *, kind: type[Spec], name: str, to: Callable[[Any], Any]) -> Any:
    """The document with another value in every field of that name."""
    again = partial(changed, kind=kind, name=name, to=to)
    if isinstance(value, Spec):
        changes = {found.name: again(getattr(value, found.name)) for found in msgspec.structs.fields(type(value))}
        if type(value) is kind:
            changes[name] = to(changes[name])
        return value.replace(**changes)
    if isinstance(value, Mapping):
        return {key: again(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(map(again, value))
    return value


def another(value: Any) -> Any:
    """Something else of the same type, as far as there is."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return {"openvino": "eager", "Succeeded": "Late", "Late": "Failed"}.get(value, f"{value}x")
    return value / 2 if isinstance(value, float) else value * 2 + 1 if isinstance(value, int) else value
