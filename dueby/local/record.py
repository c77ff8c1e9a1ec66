"""What a run leaves for `dueby report` and for whoever asks later: its plans, its progress, its summary.

All times are seconds from the run's start. The documents are rewritten whole, now and then and at the end, so that a
killed run leaves what it knew.
"""

from collections.abc import Sequence
from typing import Any

from dueby.local.processes import Process
from dueby_api.units import MICROS_PER_SECOND
from dueby_operator.control.model import GONE, Assignment, Reason, Start
from dueby_planner.answer import answer_document, proof_sentence
from dueby_planner.model.input_cost import InputCost

# A sample every so many seconds at first; thinned out by half whenever there are too many.
SAMPLE_EVERY_S = 0.5
MAX_SAMPLES = 2000


class Record:
    """The story of one run."""

    def __init__(self, *, start_us: int, deadline_us: int, images: int, cost: InputCost | None) -> None:
        self.start_us = start_us
        self.deadline_us = deadline_us
        self.images = images
        self.cost = cost
        self.revisions: list[dict[str, Any]] = []
        self.replans: list[dict[str, Any]] = []
        self.samples: list[list[float]] = []
        self.states: dict[str, list[list[Any]]] = {}
        self.worker_samples: dict[str, list[list[float]]] = {}
        self.every_s = SAMPLE_EVERY_S
        self.expected_s: float | None = None
        self.at_confidence_s: float | None = None

    def at(self, now_us: int) -> float:
        """Seconds since the start."""
        return round((now_us - self.start_us) / MICROS_PER_SECOND, 3)

    def started(self, start: Start, *, now_us: int, before: int) -> None:
        """A revision of the plan is being started beside `before` workers."""
        verdict, plan = start.verdict, start.verdict.plan if start.verdict else None
        if plan and self.expected_s is None:
            self.expected_s = self.at(now_us + plan.expected_finish_us)
            self.at_confidence_s = self.at(now_us + plan.finish_at_confidence_us)
        self.revisions.append(
            {
                "atSeconds": self.at(now_us),
                "reason": start.reason,
                "plan": answer_document(verdict) if verdict else None,
                "inputTerms": None if self.cost is None else terms_document(self.cost),
                "proofSentence": proof_sentence(plan) if plan else None,
                "finishAtConfidenceSeconds": plan.finish_at_confidence_us / MICROS_PER_SECOND if plan else None,
                "workers": [
                    _planned(assignment, start, at_us=now_us - self.start_us) for assignment in start.assignments
                ],
            }
        )
        if before or start.reason not in ("Started", "Resumed"):
            self.replanned(start.reason, now_us=now_us, before=before, after=before + len(start.assignments))

    def replanned(self, reason: Reason, *, now_us: int, before: int, after: int) -> None:
        """The number of workers changed after the start."""
        self.replans.append(
            {
                "atSeconds": self.at(now_us),
                "reason": reason,
                "from": before,
                "to": after,
                "message": f"{_WORDS[reason]}: {before} to {after} workers",
            }
        )

    def sample(self, processes: Sequence[Process], *, now_us: int, done: int, failed: int) -> None:
        """How far everything is now."""
        at = self.at(now_us)
        for process in processes:
            name = process.assignment.worker
            state = process.state if process.state in GONE else process.progress.get("state", "starting")
            states = self.states.setdefault(name, [[self.at(process.created_us), "starting"]])
            if states[-1][1] != state:
                states.append([at if process.ended_us is None else self.at(process.ended_us), state])
        if self.samples and at - self.samples[-1][0] < self.every_s and done < self.images:
            return
        self.samples.append([at, done, failed])
        for process in processes:
            own = self.worker_samples.setdefault(process.assignment.worker, [])
            images = process.progress.get("imagesDone", 0)
            if process.ended_us is None or (own and own[-1][1] != images):
                own.append([at, images])
        if len(self.samples) > MAX_SAMPLES:
            self.samples = self.samples[::2]
            self.worker_samples = {name: own[::2] for name, own in self.worker_samples.items()}
            self.every_s *= 2

    @property
    def done(self) -> int:
        """Images done at the last sample."""
        return int(self.samples[-1][1]) if self.samples else 0

    @property
    def failed(self) -> int:
        """Images failed at the last sample."""
        return int(self.samples[-1][2]) if self.samples else 0

    def plan_document(self) -> dict[str, Any]:
        """plan.json."""
        return {"revisions": self.revisions}

    def progress_document(self, processes: Sequence[Process]) -> dict[str, Any]:
        """progress.json."""
        return {
            "startUnixMicros": self.start_us,
            "deadlineSeconds": self.at(self.deadline_us),
            "samples": self.samples,
            "workers": {p.assignment.worker: self._worker(p) for p in processes},
        }

    def _worker(self, process: Process) -> dict[str, Any]:
        a, seen = process.assignment, process.progress
        return {
            "revision": a.revision,
            "deviceClass": a.device_class,
            "engine": a.choice.engine,
            "miniBatchSize": a.choice.mini_batch_size,
            "states": self.states.get(a.worker, []),
            "samples": self.worker_samples.get(a.worker, []),
            **{
                key: seen.get(key)
                for key in ("stepMicros", "warmupMicros", "startupMicros", "partsCommitted", "parity")
            },
        }


def _planned(assignment: Assignment, start: Start, *, at_us: int) -> dict[str, Any]:
    choice = assignment.choice
    finish_us = at_us + choice.expected_start_us + assignment.iterations * choice.latency_us
    return {
        "name": assignment.worker,
        "deviceClass": assignment.device_class,
        "engine": choice.engine,
        "miniBatchSize": choice.mini_batch_size,
        "iterations": assignment.iterations,
        "share": [assignment.share.first, assignment.share.end],
        "expected": {
            "startupSeconds": (choice.expected_start_us - choice.expected_warmup_us) / MICROS_PER_SECOND,
            "warmupSeconds": choice.expected_warmup_us / MICROS_PER_SECOND,
            "stepSeconds": choice.latency_us / MICROS_PER_SECOND,
            # A helper works on whatever is left, so only a worker of a whole plan has a finish of its own.
            "finishSeconds": finish_us / MICROS_PER_SECOND if start.verdict else None,
        },
    }


_WORDS: dict[Reason, str] = {
    "Started": "Started",
    "Resumed": "Resumed",
    "WorkerLost": "A worker was lost",
    "Lagging": "The workers are too slow for the deadline",
    "Edited": "The job was edited",
    "Ahead": "Fewer workers do as well",
}


def terms_document(cost: InputCost) -> dict[str, Any]:
    """The input terms of a plan."""
    return {
        "decodeMicros": cost.decode_us,
        "getMicros": cost.get_us,
        "bytesPerImage": cost.bytes_per_image,
        "bandwidthBytesPerSecond": cost.bandwidth_bytes_per_s,
    }
