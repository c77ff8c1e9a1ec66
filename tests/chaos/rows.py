"""What became of a healthy job of the chaos, and whether every image has exactly one row, with a result.

All images are whole, so that an outage is to blame where a row has an error. Rows are counted in the sinks themselves,
which all lie in the folder that this machine shares with the nodes. A job is late if its condition DeadlineMet says so;
beside it stands what the time of its _SUCCESS file says, which no clock of the cluster's processes has written.
"""

import threading
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

from chaos.cluster import S3_ROWS, Document, World
from chaos.schedule import PlannedJob
from support.kind.cluster_job import errors_in, indices_of, share_folder

# The small disk, in the shared folder and in the pods.
DISK = "disk"


@dataclass(kw_only=True)
class Tracked:
    """A healthy job that was applied, and what was done to it since. The faults edit it from other threads."""

    planned: PlannedJob
    document: Document
    lock: threading.Lock = field(default_factory=threading.Lock)
    times_made: int = 1
    edits: int = 0
    is_over: bool = False
    """Whether nobody may make it again."""


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """How a healthy job ended."""

    planned: PlannedJob
    phase: str
    """Succeeded, as it is to be; or another, or `Unfinished`."""
    message: str
    rows: int
    lost: int
    doubled: int
    strange: int
    """Rows of no image of the job."""
    failed: int
    """Rows with an error instead of a result."""
    examples: list[int]
    """Some of the images that were lost or doubled, and of the rows of no image."""
    errors: list[str]
    """Some of the errors."""
    is_late: bool
    is_late_by_files: bool | None
    """Whether _SUCCESS was written after the deadline; None without one."""
    first_probability: float | None
    """With which the first plan was to meet the deadline."""
    replans: int
    edits: int
    times_made: int
    seconds: float
    found: Document
    """The job as it was found last, where something is wrong with it."""

    @property
    def is_good(self) -> bool:
        """Whether it has succeeded, with one row for each image, and a result in each."""
        return self.phase == "Succeeded" and not (self.lost or self.doubled or self.strange or self.failed)

    @property
    def is_promised(self) -> bool:
        """Whether the job is to be in time with its confidence: one of `BestEffort` is promised nothing."""
        return self.planned.deadline_class != "BestEffort"

    def document(self) -> Document:
        """The same as JSON."""
        return asdict(self)


def rows_folder(world: World, planned: PlannedJob) -> Path:
    """The job's sink, as this machine sees it."""
    shared = world.cluster.shared
    places = {"s3": shared / "s3" / S3_ROWS / planned.name, "disk": shared / DISK / planned.name}
    return places.get(planned.store, share_folder(world.namespaces[planned.namespace], planned.name) / "rows")


def judge(world: World, tracked: Tracked, ended: Document, probability: float | None, *, seconds: float) -> JobResult:
    """Count the rows of a job that has ended, and say how it did."""
    planned, status = tracked.planned, ended.get("status", {})
    folder = rows_folder(world, planned)
    is_begun = any(folder.glob("part-*.parquet"))
    rows = Counter(indices_of(folder) if is_begun else ())
    errors = errors_in(folder) if is_begun else {}
    phase = status.get("phase", "")
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    wanted = set(range(planned.images))
    lost = wanted - rows.keys() if phase == "Succeeded" else set()
    doubled = {index for index, count in rows.items() if count > 1}
    strange = rows.keys() - wanted
    result = JobResult(
        planned=planned,
        phase=phase if phase in ("Succeeded", "Failed") else "Unfinished",
        message=conditions.get("Failed", {}).get("message") or status.get("message") or "",
        rows=rows.total(),
        lost=len(lost),
        doubled=rows.total() - len(rows),
        strange=len(strange),
        failed=len(errors),
        examples=sorted(lost | doubled | strange)[:20],
        errors=[f"{uri}: {error}" for uri, error in sorted(errors.items())[:20]],
        is_late=conditions.get("DeadlineMet", {}).get("status") != "True",
        is_late_by_files=late_by_files(folder, status.get("deadlineTime")),
        first_probability=probability,
        replans=len(status.get("replans", ())),
        edits=tracked.edits,
        times_made=tracked.times_made,
        seconds=round(seconds, 1),
        found={},
    )
    return result if result.is_good else replace(result, found=ended)


def late_by_files(folder: Path, deadline: str | None) -> bool | None:
    """Whether _SUCCESS was written after the deadline; None without one."""
    success = folder / "_SUCCESS"
    if not success.exists() or not deadline:
        return None
    return success.stat().st_mtime > datetime.fromisoformat(deadline).timestamp()


def uncounted(planned: PlannedJob, message: str) -> JobResult:
    """A job that could not be applied, or not be counted."""
    return JobResult(
        planned=planned,
        phase="Unfinished",
        message=message[:1000],
        rows=0,
        lost=0,
        doubled=0,
        strange=0,
        failed=0,
        examples=[],
        errors=[],
        is_late=True,
        is_late_by_files=None,
        first_probability=None,
        replans=0,
        edits=0,
        times_made=0,
        seconds=0.0,
        found={},
    )


def sentence_of(result: JobResult) -> str:
    """The result in a line."""
    rows = (
        f"{result.rows} rows, {result.lost} lost, {result.doubled} doubled, {result.strange} of no image,"
        f" {result.failed} with an error"
    )
    when = "late" if result.is_late else "in time"
    told = "" if result.is_good else f" {result.message} {' '.join(result.errors)}"
    return f"{result.planned.name}: {result.phase} {when} after {result.seconds:.0f} s; {rows}{told}".strip()
