"""One run as the report sees it: the run's files, read once, and a note for each that is missing or damaged.

A run can be killed before its plan, in the middle of its work or before its summary. Every question that a section asks
("when did it end?", "how many images?") is answered here, from the best file that is there, or with None. Nothing is
guessed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import yaml

from dueby_api.engines import runs_on_cpu
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob, parse_job
from dueby_api.plan import PlanAnswer, PlannedWorker
from dueby_api.run_record import PlanFile, ProgressFile, ReplanRecord, Revision, Summary, WorkerRecord
from dueby_api.schema import Kind, validate

FILES = ("job.yaml", "plan.json", "progress.json", "summary.json")
# What the page lacks without each file, as the end of a note.
_WITHOUT = {
    "job.yaml": "the job's manifest isn't shown",
    "plan.json": "there is no plan to compare with",
    "progress.json": "there is no time line",
    "summary.json": "the run has not ended yet, or it was killed",
}
# Deadlines that differ by less are one, told by two clocks or rounded.
_MOVED_S = 0.5
Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run's files. A file that is missing or damaged is empty here, and `notes` has a sentence about it."""

    name: str
    job: InferenceJob | None
    plan: PlanFile
    progress: ProgressFile
    summary: Summary
    notes: tuple[str, ...]

    @property
    def job_name(self) -> str:
        """The job's name, or the run's if no file has the job's."""
        return self.summary.job or (self.job.metadata.name if self.job else self.name)

    @property
    def verdict(self) -> str:
        """Succeeded, Late, Failed or Interrupted as the summary says; Unfinished without one."""
        return self.summary.verdict or "Unfinished"

    @property
    def is_complete(self) -> bool:
        """True if every image has a row."""
        return self.verdict in ("Succeeded", "Late") and self.images is not None and self.done >= self.images

    @property
    def first(self) -> Revision | None:
        """The plan that the run began with: what was promised."""
        return self.plan.revisions[0] if self.plan.revisions else None

    @property
    def promise(self) -> PlanAnswer:
        """The first plan's document; an empty one if there is none."""
        return (self.first.plan if self.first else None) or PlanAnswer()

    @property
    def first_deadline_s(self) -> float | None:
        """The deadline that the first plan was made for; None if there is no such plan. An edit may have moved it."""
        at_confidence_s, slack_s = self.first.at_confidence_s if self.first else None, self.promise.slack_seconds
        return None if at_confidence_s is None or slack_s is None else at_confidence_s + slack_s

    @property
    def has_moved(self) -> bool:
        """Whether the deadline was edited after the first plan."""
        first_s = self.first_deadline_s
        return first_s is not None and self.deadline_s is not None and abs(self.deadline_s - first_s) >= _MOVED_S

    @property
    def noun(self) -> str:
        """What the run's devices are called: GPU, CPU slice, or device if they are unknown or of both kinds."""
        engines = {worker.engine for worker in self.workers.values()} | {group.engine for group in self.promise.groups}
        on_cpu = {engine for engine in engines if runs_on_cpu(engine)}
        return "device" if not engines else "GPU" if not on_cpu else "CPU slice" if on_cpu == engines else "device"

    @property
    def inherited(self) -> int:
        """Images that earlier runs had done."""
        # A run that found all of them done has no plan.
        may_have = self.first is None or self.first.reason == "Resumed"
        return int(self.progress.samples[0][1]) if may_have and self.progress.samples else 0

    @property
    def start_us(self) -> int | None:
        """Microseconds since 1970."""
        return _first(self.summary.start_unix_micros, self.progress.start_unix_micros)

    @property
    def deadline_s(self) -> float | None:
        """The deadline in seconds from the start."""
        return _first(self.summary.deadline_seconds, self.progress.deadline_seconds)

    @property
    def images(self) -> int | None:
        """N."""
        # A plan counts only the images that were left to do when it was made.
        promised = self.promise.images
        return _first(self.summary.images, None if promised is None else promised + self.inherited)

    @property
    def done(self) -> int:
        """Images with a row, failed ones too."""
        last = int(self.progress.samples[-1][1]) if self.progress.samples else 0
        return self.summary.images_done if self.summary.images_done is not None else last

    @property
    def failed(self) -> int | None:
        """Images that could not be read, or None if nothing says how many."""
        last = int(self.progress.samples[-1][2]) if self.progress.samples else None
        return _first(self.summary.images_failed, last)

    @property
    def warned(self) -> int:
        """Images that were classified although their files are faulty, as far as they are counted."""
        return self.summary.images_warned or 0

    @property
    def expected_s(self) -> float | None:
        """When the first plan expected the last image."""
        return _first(self.summary.expected_seconds, self.first.expected_s if self.first else None)

    @property
    def at_confidence_s(self) -> float | None:
        """When the first plan expected the last image at the job's confidence."""
        return _first(self.summary.finish_at_confidence_seconds, self.first.at_confidence_s if self.first else None)

    @property
    def confidence(self) -> float | None:
        """The confidence that the first plan was made for."""
        return _first(self.promise.confidence, self.summary.confidence)

    @cached_property
    def end_s(self) -> float:
        """When the run ended, or the last moment that its progress tells of."""
        last = [worker.states[-1][0] for worker in self.progress.workers.values() if worker.states]
        last += [sample[0] for sample in self.progress.samples[-1:]]
        return self.summary.actual_seconds if self.summary.actual_seconds is not None else max(last, default=0.0)

    @property
    def devices(self) -> int | None:
        """Devices of the plan, or those of the first plan if there is no summary."""
        return _first(self.summary.gpus, self.promise.gpus)

    @property
    def probability(self) -> float | None:
        """Probability with which the first plan was to meet the deadline."""
        return _first(self.summary.probability, self.promise.probability)

    @property
    def is_in_time(self) -> bool | None:
        """Whether the run ended by its deadline; None if it has none."""
        if self.summary.in_time is not None:
            return self.summary.in_time
        return None if self.deadline_s is None else self.end_s <= self.deadline_s

    @property
    def is_late(self) -> bool:
        """Whether the deadline passed before the run was done."""
        return self.verdict == "Late" or (self.deadline_s is not None and self.end_s > self.deadline_s)

    @property
    def replans(self) -> tuple[ReplanRecord, ...]:
        """Changes of plan, from the summary or, if that is missing, from the plans themselves."""
        if self.summary.replans:
            return self.summary.replans
        return tuple(
            ReplanRecord(at_seconds=revision.at_seconds, reason=revision.reason) for revision in self.plan.revisions[1:]
        )

    @property
    def synthetic(self) -> bool:
        """True if the images were made on the fly."""
        return self.job is not None and self.job.spec.source.synthetic is not None

    @cached_property
    def planned(self) -> dict[str, PlannedWorker]:
        """What the plan that started each worker says about it, by the worker's name."""
        # Reversed, so that the first plan that names a worker wins.
        return {worker.worker: worker for revision in reversed(self.plan.revisions) for worker in revision.workers}

    @cached_property
    def planned_finish_s(self) -> dict[str, float | None]:
        """When the plan that started each worker expects it to be done, by the worker's name; None for a helper."""
        return {w.worker: r.finish_s(w) for r in reversed(self.plan.revisions) for w in r.workers}

    @cached_property
    def workers(self) -> dict[str, WorkerRecord]:
        """Progress by worker, in the order of the workers' numbers."""
        # Names end with a number, so the shorter name has the smaller one: w2 comes before w10.
        return dict(sorted(self.progress.workers.items(), key=lambda item: (len(item[0]), item[0])))


def parse_run(name: str, files: Mapping[str, bytes]) -> Run:
    """Return the run of these files, which may be none."""
    notes: list[str] = []
    return Run(
        name=name,
        job=_parse_manifest(files, notes),
        plan=_parse(PlanFile, "plan.json", files, notes),
        progress=_parse(ProgressFile, "progress.json", files, notes),
        summary=_parse(Summary, "summary.json", files, notes),
        notes=tuple(notes),
    )


def _parse(kind: type[Kind], name: str, files: Mapping[str, bytes], notes: list[str]) -> Kind:
    if name not in files:
        notes.append(f"{name} is missing: {_WITHOUT[name]}.")
        return kind()
    try:
        return validate(kind, json.loads(files[name], parse_constant=_refuse))
    except (Invalid, ValueError, RecursionError) as error:
        # ValueError: half a file, or not UTF-8. RecursionError: nested deeper than any document of ours.
        notes.append(f"{name} can't be read ({error}): {_WITHOUT[name]}.")
        return kind()


def _parse_manifest(files: Mapping[str, bytes], notes: list[str]) -> InferenceJob | None:
    if "job.yaml" not in files:
        notes.append(f"job.yaml is missing: {_WITHOUT['job.yaml']}.")
        return None
    try:
        return parse_job(yaml.safe_load(files["job.yaml"]))
    except Invalid as error:
        notes.append(f"job.yaml can't be read ({error}): {_WITHOUT['job.yaml']}.")
    except (yaml.YAMLError, UnicodeDecodeError):
        # Their messages quote the manifest, which may hold keys, so they are not repeated.
        notes.append(f"job.yaml can't be read because it isn't YAML: {_WITHOUT['job.yaml']}.")
    return None


def _refuse(constant: str) -> float:
    # Python's json reads NaN and Infinity, which JSON has not, and which no chart can draw.
    raise ValueError(f"{constant} is not a number")


def _first(*values: Number | None) -> Number | None:
    return next((value for value in values if value is not None), None)
