"""The steps of a run beside its workers: index, finish and the retry of failed rows.

Each is a process of the worker's, as it is a Job in a cluster.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dueby.local.processes import TICK_S, Processes
from dueby.local.this_machine import cache_folder
from dueby_api.agreement import Agreement
from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.grid import Grid, Share
from dueby_api.inference_job import InferenceJob
from dueby_api.input_cost import FREE, InputCost
from dueby_api.parts import NONE, Parts
from dueby_api.schema import Kind, decode
from dueby_api.step_messages import EXIT_INVALID, EXIT_TRY_AGAIN, FinishResult, IndexResult, StepError
from dueby_api.units import MICROS_PER_SECOND
from dueby_operator.model.step_configs import finish_config, images_without_index, index_config
from dueby_planner.model.capacity import best_capacities
from dueby_planner.profiles.pool import build_pool
from dueby_planner.schedule.job import Assignment, ScheduledJob
from dueby_worker.output.sink import parts_there
from dueby_worker.output.sink_manifest import read_newest_manifest, read_sink_manifest
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store, Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import canonical_uri, file_path, scheme_of
from dueby_worker.system.end_with_parent import ending_with_me
from dueby_worker.system.temporary_files import temporary_files_in

Say = Callable[[str], None]
"""Tell people a sentence."""
_DUEBY = "_dueby"
# Long enough for a device's rate alone to decide which is the fastest.
_LONG_US = 24 * 3600 * MICROS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """What the index step found."""

    images: int
    """N."""
    fingerprint: str | None
    """None where there was no index step: the first worker's decides."""
    part_size: int | None
    """The grid of a sink that was begun before; None for a new one."""
    cost: InputCost
    unlisted: str = ""
    """Files in the source's folder that are no images by their endings, such as "3 .txt"."""
    note: str = ""
    """How the images stand to those that the sink knew before, where it is added to."""
    agreement: Agreement | None = None
    """How far the job's int8 network is from fp32; None if that was not measured."""


def index(job: InferenceJob, folder: Path, say: Say | None = None) -> Indexed:
    """List and freeze the source, or find it frozen; what was found."""
    images = images_without_index(job.spec)
    # A sink that somebody has laid claim to is looked at with the model in hand, before any of its parts count.
    if images and read_sink_manifest(open_store(job.spec.sink.uri)) is None:
        return Indexed(images=images, fingerprint=None, part_size=None, cost=FREE)
    config = {**index_config(job), "cacheDir": str(cache_folder())}
    with _leaving_no_folder(job.spec.sink.uri):
        result = _run_step("index", config, folder, IndexResult, say)
    return Indexed(
        images=result.images,
        fingerprint=result.fingerprint,
        part_size=result.part_size,
        cost=result.input_cost or FREE,
        unlisted=result.unlisted,
        note=result.note,
        agreement=result.agreement,
    )


@contextmanager
def _leaving_no_folder(sink: str) -> Iterator[None]:
    """Delete the empty folders that the step has made in trying the sink, if it is refused."""
    uri = canonical_uri(sink)
    root = Path(file_path(uri)) if scheme_of(uri) == "file" else None
    was_there = root is None or root.exists()
    try:
        yield
    except DueByError:
        if root is not None:
            for created in (root / _DUEBY / "index", root / _DUEBY, *(() if was_there else (root,))):
                with suppress(OSError):  # it isn't there, or not empty
                    created.rmdir()
        raise


def images_left(job: InferenceJob) -> int | None:
    """Return how many images are to be done by what the job and its sink say; None if neither knows N.

    0: the sink holds every part of a job that may go on with it. That takes no device, no profile and no time, so it is
    asked for before anything else. Whether the rows are of these images and this model, the index step finds out.
    """
    if job.spec.sink.if_exists != "Resume":
        return job.spec.images
    # A store that doesn't answer, or has something else, is the index step's to tell of.
    store = open_store(job.spec.sink.uri, retry=RetryPolicy(total_s=0))
    try:
        manifest = read_newest_manifest(store)
        if manifest is None:
            return job.spec.images
        parts_left = max(0, manifest.grid.parts - len(parts_there(store, manifest)))
        return min(manifest.images, parts_left * manifest.part_size)
    except (Transient, Unavailable):
        return job.spec.images


def parts_of_job(sink: Store, indexed: Indexed, part_size: int) -> Parts:
    """Return the parts of a job that is cut so; none before its first worker has begun the sink, or its generation."""
    manifest = read_newest_manifest(sink)
    if manifest is None or manifest.part_size != part_size:
        return NONE
    is_own = indexed.fingerprint in (None, manifest.fingerprint)
    return parts_there(sink, manifest) if is_own else NONE


def finish(job: InferenceJob, folder: Path, say: Say | None = None) -> FinishResult:
    """Count the rows and close the sink; return the rows and errors of all its parts."""
    return _run_step("finish", finish_config(job), folder, FinishResult, say)


def retry_failed(processes: Processes, model: ScheduledJob) -> None:
    """Do over the rows with an error, with one worker on the fastest device: parts that are there have one writer."""
    pool = build_pool(model.spec, model.profiles, model.offered, cost=model.cost, cores=model.cores)
    fastest = best_capacities(pool.groups, time_us=_LONG_US)[0]
    parts = Grid(images=model.images, part_size=model.part_size or model.images).parts
    assignment = Assignment(
        worker="retry",
        revision=model.revision + 1,
        device_class=fastest.group.device_class,
        choice=fastest.choice,
        iterations=0,
        share=Share(first=0, end=parts),
    )
    processes.start([assignment], part_size=model.part_size or model.images)
    try:
        while not (worker := processes.observe()[0]).is_gone:
            time.sleep(TICK_S)
        processes.raise_fault()
        if worker.state != "done":
            raise processes.fault_of_losses()
    finally:
        processes.stop_all()


def _run_step(step: str, config: dict[str, Any], folder: Path, kind: type[Kind], say: Say | None = None) -> Kind:
    """Run the step's process and return its result; raise what its last words say was wrong.

    What it says meanwhile goes to `say`, or else to stderr.
    """
    path = folder / f"{step}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "dueby_worker", step, "--config", str(path), "--for-people"]
    with tempfile.TemporaryFile(dir=folder) as answer:
        process = subprocess.Popen(
            command,
            stdout=answer,
            stderr=subprocess.PIPE if say else None,
            text=True,
            env={**os.environ, **temporary_files_in(folder)},
            # Ctrl-C is for this process, which ends the step. stderr is for people, who need not read of it twice.
            start_new_session=True,
            preexec_fn=ending_with_me(),
        )
        with process:
            for line in process.stderr or ():
                if say:
                    say(line.rstrip())
        answer.seek(0)
        said = answer.read().decode()
    last_line = (said.strip().splitlines() or [""])[-1]
    if process.returncode == 0:
        return decode(kind, last_line, origin=f"the {step} step")
    try:
        error = decode(StepError, last_line)
    except Invalid:
        error = StepError()
    sentence = error.error or f"the {step} step ended with code {process.returncode}"
    if process.returncode == EXIT_INVALID:
        raise Invalid(error.field or "spec", sentence)
    raise (Transient if process.returncode == EXIT_TRY_AGAIN else DueByError)(f"{step}: {sentence}")
