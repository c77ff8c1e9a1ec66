"""Workers of a job that are started before its plan, and load the model while its source is indexed.

One waits with its model in memory, and with nothing on its device, until the plan has work for its slot. Then it is a
worker like any other: it goes on with the configuration that it would have been started with. Those that the plan has
no work for are killed, which nothing is lost by (dueby_worker/steps/early.py). A slot isn't theirs before the plan says
so.

They are started on devices on which the first plan will surely have workers, as far as that is known by then. Where N
isn't known, one device is: the fastest, for the engine that is the fastest on it. The index step has a core to itself,
since workers that take it from the step only delay the plan that they wait for.
"""

import json
import os.path
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from dueby.local.this_machine import LocalPool, Slot, cache_folder, usable_cores
from dueby.local.worker_process import EnvironmentOf, start_worker
from dueby.planning import problem_of
from dueby_api.classifiers import source_of
from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_operator.model.step_configs import early_config, images_without_index
from dueby_planner.deadline_classes import judge
from dueby_planner.model.problem import Problem

# A line, and nothing else, tells an early worker that its configuration is there.
_LINE = b"\n"


def first_devices(
    job: InferenceJob, pool: LocalPool, *, images: int | None, time_us: int
) -> list[tuple[Slot, EngineName]]:
    """Return the slots, and the engine on each, for workers that load the model while the source is indexed.

    `images` are those that are to be done, as far as anybody knows; None if nobody does.
    """
    has_nothing_to_wait_for = images == 0 or images_without_index(job.spec) is not None
    if has_nothing_to_wait_for or _may_download(job):
        return []
    try:
        problem = problem_of(job.spec, pool.profiles, pool.counts, images=images or 1, time_us=max(1, time_us))
        # By a deadline that has passed no device does anything: the plan that is late says which are needed.
        planned = _planned(problem, job) if images or time_us <= 0 else _fastest(problem)
    except Invalid:  # which is reported where the job is planned
        return []
    devices = []
    for device_class, engine, count in planned:
        slots = [slot for slot in pool.slots if slot.device_class == device_class]
        devices += [(slot, engine) for slot in slots[:count]]
    return devices[: max(1, usable_cores() - 1)]


def _planned(problem: Problem, job: InferenceJob) -> list[tuple[str, EngineName, int]]:
    plan = judge(problem, job.spec.deadline_class).plan
    return [(group.device_class, group.choice.engine, group.count) for group in plan.groups] if plan else []


def _fastest(problem: Problem) -> list[tuple[str, EngineName, int]]:
    return [(best.group.device_class, best.choice.engine, 1) for best in problem.capacities()[:1]]


def _may_download(job: InferenceJob) -> bool:
    """Return whether the index step may have to fetch the weights: then workers would fetch them once more.

    It has fetched those of a model that is known here, and other libraries see to it that a file is fetched once.
    """
    model = job.spec.model
    if (
        source_of(model.name) is not None
        or model.weights == "none"
        or os.path.isfile(os.path.expanduser(model.weights))
    ):
        return False
    # It loads numpy, which this process needs for nothing else.
    from dueby_worker.models.known_model import is_known

    return not is_known(model, job.spec.output, cache_folder())


@dataclass(frozen=True, kw_only=True)
class EarlyWorker:
    """A process that loads its model and then waits to be told."""

    engine: EngineName
    folder: Path
    process: subprocess.Popen[bytes]

    def tell(self) -> None:
        """Have it go on: its configuration is there.

        If it has ended meanwhile, it counts as a worker that was lost, and the next decision makes up for it.
        """
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.write(_LINE)
        self._let_go()

    def kill(self) -> None:
        self.process.kill()
        self._let_go()
        self.process.wait()

    def _let_go(self) -> None:
        assert self.process.stdin is not None
        with suppress(OSError):  # of a line that nobody reads
            self.process.stdin.close()


class EarlyWorkers:
    """The early workers of one job. They may be ended from any thread."""

    def __init__(self) -> None:
        self._waiting: dict[str, EarlyWorker] = {}
        self._is_over = False
        self._lock = Lock()

    def start(
        self,
        job: InferenceJob,
        devices: Sequence[tuple[Slot, EngineName]],
        *,
        folder: Path,
        environment_of: EnvironmentOf,
    ) -> None:
        """Start one on each slot, for an engine, unless it is known by now that none is needed."""
        for number, (slot, engine) in enumerate(devices):
            with self._lock:
                if self._is_over:
                    return
                worker_folder = folder / f"early{number}"
                self._waiting[slot.name] = _start(
                    job, slot, engine, folder=worker_folder, environment_of=environment_of
                )

    def take(self, slot: Slot, engine: EngineName) -> EarlyWorker | None:
        """Return the one that waits on that slot for that engine, which is now the caller's; None if none does."""
        with self._lock:
            worker = self._waiting.pop(slot.name, None)
        if worker is None or (worker.engine == engine and worker.process.poll() is None):
            return worker
        worker.kill()
        return None

    def end(self) -> None:
        """End those that still wait; none is started any more."""
        with self._lock:
            self._is_over = True
            waiting, self._waiting = self._waiting, {}
        for worker in waiting.values():
            worker.kill()


def _start(
    job: InferenceJob, slot: Slot, engine: EngineName, *, folder: Path, environment_of: EnvironmentOf
) -> EarlyWorker:
    folder.mkdir(parents=True)
    own = {"cores": slot.cores, "cacheDir": str(cache_folder())}
    document = {**early_config(job, engine, threads=slot.threads), **own}
    path = folder / "early.json"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    process = start_worker(
        job,
        slot,
        engine,
        folder=folder,
        scratch=folder.parent,
        environment_of=environment_of,
        options=["--early", str(path)],
        is_told_later=True,
    )
    return EarlyWorker(engine=engine, folder=folder, process=process)
