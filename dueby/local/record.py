"""What a run leaves for `dueby report` and for whoever asks later: its plans, its progress, its summary.

All times are seconds from the run's start. The documents are rewritten whole, now and then and at the end, so that a
killed run leaves what it knew.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from dueby.local.process import Process
from dueby.planned_curve import curve_answer
from dueby_api.calendar import PlannedWindow, planned_window
from dueby_api.curve import CurveAnswer
from dueby_api.input_cost import InputCost
from dueby_api.run_record import PlanFile, ProgressFile, ReplanRecord, Revision, WorkerRecord
from dueby_api.status import PlanStatus, WindowStatus
from dueby_api.units import MICROS_PER_SECOND, parse_time_us, seconds
from dueby_api.words import counted
from dueby_operator.model.actions import StartWorkers
from dueby_operator.model.assignments import planned_worker
from dueby_planner.answer import plan_answer, proof_sentence
from dueby_planner.model.curve import curve_of
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.job import Assignment, StartReason

# A sample every so many seconds at first; thinned out by half whenever there are too many.
SAMPLE_EVERY_S = 0.5
MAX_SAMPLES = 2000
# Of the curve: a picture needs no more, and with prices each takes some milliseconds.
_CURVE_POINTS = 40


class Record:
    """The story of one run."""

    def __init__(self, *, start_us: int, deadline_us: int, images: int, cost: InputCost | None) -> None:
        self.start_us = start_us
        self.deadline_us = deadline_us
        self.images = images
        self.cost = cost
        self.revisions: list[Revision] = []
        self.replans: list[ReplanRecord] = []
        self.samples: list[tuple[float, float, float]] = []
        self.states: dict[str, list[tuple[float, str]]] = {}
        self.worker_samples: dict[str, list[tuple[float, float]]] = {}
        self.every_s = SAMPLE_EVERY_S
        self.expected_s: float | None = None
        self.at_confidence_s: float | None = None
        self.by_windows: PlanStatus | None = None
        """The plan that the run began with, if it was one by windows."""
        self.problem: Problem | None = None
        """What the plan that the run began with was made for; None until then, and if it was one by windows."""

    def at(self, now_us: int) -> float:
        """Return the seconds since the start."""
        return round((now_us - self.start_us) / MICROS_PER_SECOND, 3)

    def started(self, start: StartWorkers, *, now_us: int, before: int, by_windows: PlanStatus | None = None) -> None:
        """Note that a revision of the plan is being started beside `before` workers.

        `by_windows` is the whole plan, where other jobs have the devices before or after this one.
        """
        verdict, plan = start.verdict, start.verdict.plan if start.verdict else None
        windows: tuple[PlannedWindow, ...] = ()
        proof = proof_sentence(plan) if plan else None
        if by_windows and not verdict:
            windows = planned_windows(start.assignments, by_windows.windows, now_us=now_us)
            proof = by_windows.proof_sentence if windows else None
        if plan and self.expected_s is None:
            self.problem = plan.problem
            self.expected_s = self.at(now_us + plan.expected_finish_us)
            self.at_confidence_s = self.at(now_us + plan.finish_at_confidence_us)
        elif by_windows and self.expected_s is None:
            self.by_windows = by_windows
            self.expected_s = self.at(parse_time_us(by_windows.expected_finish))
            self.at_confidence_s = self.at(parse_time_us(by_windows.finish_at_confidence))
        self.revisions.append(
            Revision(
                at_seconds=self.at(now_us),
                reason=start.reason,
                plan=plan_answer(verdict) if verdict else None,
                windows=windows,
                input_cost=self.cost,
                proof_sentence=proof,
                finish_at_confidence_seconds=seconds(plan.finish_at_confidence_us) if plan else None,
                workers=tuple(planned_worker(assignment) for assignment in start.assignments),
            )
        )
        if before or start.reason not in ("Started", "Resumed"):
            self.replanned(start.reason, now_us=now_us, before=before, after=before + len(start.assignments))

    def replanned(self, reason: StartReason, *, now_us: int, before: int, after: int) -> None:
        """Note that the number of workers changed after the start."""
        self.replans.append(
            ReplanRecord(
                at_seconds=self.at(now_us),
                reason=reason,
                before=before,
                after=after,
                message=f"{_WORDS[reason]}: {before} to {counted(after, 'worker')}",
            )
        )

    def sample(self, processes: Sequence[Process], *, now_us: int, done: int, failed: int) -> None:
        """Note how far everything is now."""
        at = self.at(now_us)
        for process in processes:
            name = process.assignment.worker
            state = process.state if process.is_gone else process.progress.state
            states = self.states.setdefault(name, [(self.at(process.created_us), "starting")])
            if states[-1][1] != state:
                states.append((at if process.ended_us is None else self.at(process.ended_us), state))
        if self.samples and at - self.samples[-1][0] < self.every_s and done < self.images:
            return
        self.samples.append((at, done, failed))
        for process in processes:
            samples = self.worker_samples.setdefault(process.assignment.worker, [])
            images = process.progress.images_done
            if process.ended_us is None or (samples and samples[-1][1] != images):
                samples.append((at, images))
        if len(self.samples) > MAX_SAMPLES:
            self.samples = self.samples[::2]
            self.worker_samples = {name: samples[::2] for name, samples in self.worker_samples.items()}
            self.every_s *= 2

    def close(self, processes: Sequence[Process], *, now_us: int) -> None:
        """Note what each worker has done in all: the last samples may be older than its last images."""
        for process in processes:
            samples = self.worker_samples.setdefault(process.assignment.worker, [])
            images = process.progress.images_done
            if (samples[-1][1] if samples else 0) != images:
                samples.append((self.at(now_us), images))

    @property
    def done(self) -> int:
        """Images done at the last sample."""
        return int(self.samples[-1][1]) if self.samples else 0

    @property
    def failed(self) -> int:
        """Images failed at the last sample."""
        return int(self.samples[-1][2]) if self.samples else 0

    def curve(self, name: str) -> CurveAnswer | None:
        """Return what the job of this name would have taken by other deadlines; None without a deadline to come."""
        if self.problem is None or self.problem.time_us <= 0:
            return None
        curve = curve_of(self.problem, points=_CURVE_POINTS)
        return curve_answer(name, curve) if curve.points else None

    def plan_file(self) -> PlanFile:
        return PlanFile(revisions=tuple(self.revisions))

    def progress_file(self, processes: Sequence[Process]) -> ProgressFile:
        return ProgressFile(
            start_unix_micros=self.start_us,
            deadline_seconds=self.at(self.deadline_us),
            samples=tuple(self.samples),
            workers={process.assignment.worker: self._worker(process) for process in processes},
        )

    def _worker(self, process: Process) -> WorkerRecord:
        assignment, progress = process.assignment, process.progress
        return WorkerRecord(
            revision=assignment.revision,
            device_class=assignment.device_class,
            engine=assignment.choice.engine,
            mini_batch_size=assignment.choice.mini_batch_size,
            states=tuple(self.states.get(assignment.worker, ())),
            samples=tuple(self.worker_samples.get(assignment.worker, ())),
            step_us=progress.step_us,
            warmup_us=progress.warmup_us,
            startup_us=progress.startup_us,
            start_parts=progress.start_parts,
            parts_committed=progress.parts_committed,
            parity=progress.parity,
        )


_WORDS: dict[StartReason, str] = {
    "Started": "Started",
    "Resumed": "Resumed",
    "WorkerLost": "A worker was lost",
    "Lagging": "The workers are too slow for the deadline",
    "Edited": "The job was edited",
    "Admitted": "Workers were admitted",
    "Ahead": "Fewer workers do as well",
    "WindowBegins": "Its devices are free now",
    "SpotCame": "Spot devices have come for those on demand",
    "GaveWay": "Other jobs need the devices",
    "NodeDrains": "A node is going away",
}


def planned_windows(
    starting: Sequence[Assignment], reserved: Iterable[WindowStatus], *, now_us: int
) -> tuple[PlannedWindow, ...]:
    """Return the windows that begin now and those that are reserved for later, by time and counted from now.

    There are none if workers that start may keep their devices to the end.
    """
    if any(assignment.until_us is None for assignment in starting):
        return ()
    begun = Counter(_begun(assignment, now_us=now_us) for assignment in starting)
    windows = [window.replace(count=count, images=count * window.images) for window, count in begun.items()]
    windows += [planned_window(window, now_us=now_us) for window in reserved]
    return tuple(sorted(windows, key=lambda window: (window.from_seconds, window.to_seconds, window.device_class)))


def _begun(assignment: Assignment, *, now_us: int) -> PlannedWindow:
    return PlannedWindow(
        device_class=assignment.device_class,
        engine=assignment.choice.engine,
        from_seconds=0.0,
        to_seconds=seconds((assignment.until_us or now_us) - now_us),
        count=1,
        mini_batch_size=assignment.choice.mini_batch_size,
        images=(assignment.iterations + 1) * assignment.choice.mini_batch_size,
    )
