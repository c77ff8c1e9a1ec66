"""DueBy as a policy of the simulated cluster: the operator's decide(snapshot), with all jobs Hard.

What the operator would see of the workers is in the snapshot, and its actions start and stop them. The operator makes a
pass at each event and every few seconds; here passes at which nothing can have changed are left out: after one that
changed nothing, or only back what the one before had changed, the next is later, but not later than a reserved window
begins or ends, or than a worker is to be asked to end its part before its device is meant for others. None is left out
while a window that should have begun waits for its device.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from calendar_traces_cluster import (
    LATENCY_US,
    MINI_BATCH,
    P95,
    STARTUP_US,
    WARMUP_US,
    Cluster,
    Job,
    Noise,
    Worker,
)
from calendar_traces_demand import demanded, margins_of_promises
from dueby.local.loop import LocalDevices
from dueby_api.gpu_profile import GPUProfile, parse_profile
from dueby_api.inference_job import parse_job
from dueby_api.status import WindowStatus
from dueby_api.units import MICROS_PER_SECOND, parse_time_us
from dueby_operator.control.conditions import is_over
from dueby_operator.control.decide import decide
from dueby_operator.control.job_decision import JobDecision
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.model.actions import StartWorkers, StopWorkers
from dueby_operator.model.job_snapshot import JobMemory, JobSnapshot
from dueby_planner.schedule.free_devices import CHANGE_US
from dueby_planner.schedule.job import Assignment, WorkerModel, WorkerState

GPU = "NVIDIA-L4"
MODEL = {"name": "efficientnet_b0", "weights": "none", "imageSize": 224, "precision": "fp32"}
# The trace's clock begins then: statuses hold dates.
EPOCH_US = 1_767_225_600 * MICROS_PER_SECOND
# The operator's passes, and the longest time that one is left out for.
PASS_US, MAX_PASS_US = 5 * MICROS_PER_SECOND, 300 * MICROS_PER_SECOND


class DueBy:
    """The policy: what is known of each job, and how long the decisions took."""

    def __init__(self, noise: Noise) -> None:
        self.profiles = (profile(noise),)
        self.known: dict[str, JobSnapshot] = {}
        self.memories: dict[str, JobMemory] = {}
        """By job, what was remembered of it before the last pass."""
        self.assignments: dict[str, list[Assignment]] = {}
        """By job, of all its workers by their numbers."""
        self.decide_s: list[float] = []
        self.replanned = 0
        """Workers that were stopped because their jobs were planned again, and not to hand their devices over."""
        self.demand: dict[str, float] = {}
        """By job, what it and others needed of the GPU time when it arrived (see `demanded`)."""
        self.margins = margins_of_promises(noise)
        self.promised: dict[str, float] = {}
        """The same with the margins of a promise."""
        self.pause_us = PASS_US

    def act(self, cluster: Cluster, arrived: Sequence[Job]) -> int | None:
        """Make one pass."""
        for job in arrived:
            self.known[job.asked.name] = first_snapshot(job)
            self.assignments[job.asked.name] = []
        if not cluster.jobs:
            return None
        jobs = {job.asked.name: job for job in cluster.jobs}
        held = cluster.gpus - cluster.free
        devices = LocalDevices(free={GPU: cluster.free}, held={GPU: held})
        snapshot = ClusterSnapshot(
            now_us=EPOCH_US + cluster.now_us,
            jobs=tuple(self._seen(job, cluster.now_us) for job in cluster.jobs),
            devices=devices,
            profiles=self.profiles,
        )
        began_s = time.process_time()  # other programs on the machine take none of it
        decided = decide(snapshot)
        self.decide_s.append(time.process_time() - began_s)
        if decided.left.faults:
            raise decided.left.faults[0].error
        decisions = decided.jobs
        for job in arrived:
            self.demand[job.asked.name] = demanded(job, cluster)
            self.promised[job.asked.name] = demanded(job, cluster, self.margins)
        for decision in decisions:
            self._stop(decision, jobs[decision.job.name], cluster)
        has_changed = [self._go_on(decision, jobs[decision.job.name], cluster) for decision in decisions]
        is_quiet = not (arrived or any(has_changed) or self._waits_for_device(cluster))
        self.pause_us = min(2 * self.pause_us, MAX_PASS_US) if is_quiet else PASS_US
        return min([cluster.now_us + self.pause_us, *self._window_ends(cluster), *self._asks(cluster)])

    def _seen(self, job: Job, now_us: int) -> JobSnapshot:
        """Return the job as the operator would see it."""
        known = self.known[job.asked.name]
        workers = zip(job.workers, self.assignments[job.asked.name], strict=True)
        return replace(
            known,
            workers=tuple(worker_seen(worker, assigned, now_us) for worker, assigned in workers),
            parts_there=job.parts_there,
        )

    def _stop(self, decision: JobDecision, job: Job, cluster: Cluster) -> None:
        """Free the GPUs that are given back, before others take them."""
        if decision.fault:
            raise decision.fault.error
        for action in decision.actions:
            if isinstance(action, StopWorkers):
                # Who gives way has been asked early enough to end its part first.
                saves = action.reason == "GaveWay"
                self.replanned += 0 if saves else len(action.workers)
                for name in action.workers:
                    cluster.stop(job, job.workers[int(name.removeprefix("w"))], saves=saves)

    def _go_on(self, decision: JobDecision, job: Job, cluster: Cluster) -> bool:
        """Start what is to be started, or refuse the job; return whether anything is otherwise than before."""
        before = decision.job
        has_changed = decision.memory not in (before.memory, self.memories.get(job.asked.name))
        self.memories[job.asked.name] = before.memory
        self.known[job.asked.name] = replace(before, status=decision.status, memory=decision.memory)
        for action in decision.actions:
            match action:
                case StartWorkers():
                    self.assignments[job.asked.name] += action.assignments
                    cluster.start(job, len(action.assignments), part_size=action.part_size)
                case StopWorkers():
                    pass
                case _:
                    raise ValueError(f"{job.asked.name}: workers of a simulation can't do {action}")
        if is_over(decision.status):
            cluster.refuse(job, breaks_promise=before.status.plan is not None)
        return bool(decision.actions) or has_changed

    def _windows(self, cluster: Cluster) -> list[WindowStatus]:
        """Return what is reserved for all jobs."""
        plans = [plan for job in cluster.jobs if (plan := self.known[job.asked.name].status.plan)]
        return [window for plan in plans for window in plan.windows]

    def _waits_for_device(self, cluster: Cluster) -> bool:
        """Return whether a window has not begun that should have."""
        now_us = EPOCH_US + cluster.now_us
        return any(parse_time_us(window.from_time) <= now_us for window in self._windows(cluster))

    def _window_ends(self, cluster: Cluster) -> list[int]:
        """Return when reserved windows have begun or ended, to the second in which the status has it."""
        times = {time for window in self._windows(cluster) for time in (window.from_time, window.to_time)}
        times_us = [parse_time_us(time) + MICROS_PER_SECOND - EPOCH_US for time in times]
        return [time_us for time_us in times_us if time_us > cluster.now_us]

    def _asks(self, cluster: Cluster) -> list[int]:
        """Return when workers are to be asked to end their parts, to the second after which they are."""
        found = {
            assigned.until_us - EPOCH_US - job.grid.part_size // MINI_BATCH * worker.step_us - CHANGE_US
            for job in cluster.jobs
            for worker, assigned in zip(job.workers, self.assignments[job.asked.name], strict=True)
            if worker.state == "working" and assigned.until_us is not None and job.grid is not None
        }
        times_us = [time_us + MICROS_PER_SECOND for time_us in found]
        return [time_us for time_us in times_us if time_us > cluster.now_us]


def first_snapshot(job: Job) -> JobSnapshot:
    """Return a job as it arrives."""
    asked = job.asked
    spec = {
        "images": asked.images,
        "deadline": f"{(asked.deadline_us - asked.submitted_us) // MICROS_PER_SECOND}s",
        "deadlineClass": "Hard",
        "model": MODEL,
        "source": {"synthetic": {}},
        "sink": {"uri": f"s3://bucket/{asked.name}"},
    }
    head = {"apiVersion": "dueby.dev/v1alpha1", "kind": "InferenceJob", "metadata": {"name": asked.name}}
    return JobSnapshot(
        namespace="",
        name=asked.name,
        uid=asked.name,
        created_us=EPOCH_US + asked.submitted_us,
        manifest=parse_job({**head, "spec": spec}),
    )


def worker_seen(worker: Worker, assignment: Assignment, now_us: int) -> WorkerModel:
    """Return the worker as it was last seen."""
    batches = worker.batches(now_us)
    going: WorkerState = "running" if batches else "starting"
    return WorkerModel(
        assignment=assignment,
        state=going if worker.state == "working" else worker.state,
        created_us=EPOCH_US + worker.created_us,
        open_images=worker.open_images(now_us),
        batches=batches,
        step_us=worker.step_us if batches > 1 else None,
        last_step_us=EPOCH_US + worker.first_us + (batches - 1) * worker.step_us if batches else None,
    )


def profile(noise: Noise) -> GPUProfile:
    """Return what was measured of a GPU whose workers have such fates."""
    late = math.exp(P95 * noise.start)
    return parse_profile(
        {
            "apiVersion": "dueby.dev/v1alpha1",
            "kind": "GPUProfile",
            "metadata": {"name": GPU.lower()},
            "spec": {
                "deviceClass": GPU,
                "model": {"name": MODEL["name"], "imageSize": MODEL["imageSize"], "precision": MODEL["precision"]},
                "engine": "cudagraph",
                "startupMicros": {"p50": STARTUP_US, "p95": round(STARTUP_US * late)},
                "spread": {"run": 0, "node": noise.rate},
                "steps": [
                    {
                        "miniBatchSize": MINI_BATCH,
                        "latencyMicros": {"mean": LATENCY_US},
                        "warmupMicros": {"p50": WARMUP_US, "p95": round(WARMUP_US * late)},
                    }
                ],
            },
        }
    )
