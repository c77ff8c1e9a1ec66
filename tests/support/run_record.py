"""Records of runs: what two workers did of which one was lost, by a whole plan or by windows."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dueby.local.process import Process
from dueby.local.record import Record
from dueby.local.this_machine import Slot
from dueby.runs.summary import summarise
from dueby_api.grid import Share
from dueby_api.inference_job import parse_job
from dueby_api.input_cost import InputCost
from dueby_api.run_record import MachineRecord, PlanFile, ProgressFile, Summary
from dueby_api.schema import Spec
from dueby_api.status import PlanStatus, WindowStatus
from dueby_api.step_messages import ParityCheck, WorkerProgress
from dueby_api.units import format_time
from dueby_operator.model.actions import StartWorkers
from dueby_planner.deadline_classes import Verdict
from dueby_planner.model.capacity import Provision
from dueby_planner.schedule.job import Assignment, WorkerState
from support.planner import choice, job_document

START_US = 1_795_572_005_000_000
SECOND = 1_000_000


BY_WINDOWS = PlanStatus(
    revision=1,
    gpus=2,
    lower_bound=1,
    proof="Calendar",
    proof_sentence="Without other jobs 1 GPU would be enough.",
    confidence=0.95,
    probability=0.97,
    part_size=8,
    expected_finish=format_time(START_US + 25 * SECOND),
    finish_at_confidence=format_time(START_US + 27 * SECOND),
    slack="3s",
    windows=(
        WindowStatus(
            device_class="a",
            engine="openvino",
            from_time=format_time(START_US + 20 * SECOND),
            to_time=format_time(START_US + 27 * SECOND),
            count=3,
            mini_batch_size=16,
            images=96,
        ),
    ),
)


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
            batches=11,
            step_us=510_000,
            mean_step_us=510_000,
            input_wait=0.25,
            observed_requests_per_second=40.0,
            warmup_us=SECOND,
            startup_us=SECOND,
            start_parts={"import": 300_000, "load": 600_000, "images": 100_000},
            parity=ParityCheck(ok=True, max_difference=1e-6, same_top1=1.0, sentence="Within 0.000001 of eager."),
        ),
    )


def record(verdict: Verdict | None, folder: Path, *, by_windows: PlanStatus | None = None) -> Written:
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
    first = tuple(
        replace(
            assignment(name, share=Share(first=start, end=start + 10)),
            until_us=START_US + 8 * SECOND if by_windows else None,
        )
        for name, start in (("w0", 0), ("w1", 10))
    )
    helper = replace(
        assignment("w2", share=Share(first=0, end=0), revision=2),
        until_us=START_US + 60 * SECOND,
        pool="burst",
        provision=Provision(expected_us=SECOND, late_us=2 * SECOND),
    )
    began, lost = START_US + SECOND, START_US + 6 * SECOND
    grid: dict[str, Any] = {"images": 160, "part_size": 8, "fingerprint": None}
    start = StartWorkers(assignments=first, revision=1, reason="Started", verdict=verdict, **grid)
    written.started(start, now_us=began, before=0, by_windows=by_windows)
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
        unlisted="1 .txt",
        interrupted=False,
        processes=processes,
        machine=MachineRecord(cores=8.0, memory_mib=16_384, devices={"a": 2}),
        cost="12.34 EUR",
    )
    return Written(plan=written.plan_file(), progress=written.progress_file(processes), summary=summary)
