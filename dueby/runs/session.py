"""One job's run on this machine: its index step, its sink, and what is told and recorded of it.

Several of them share the machine in one loop (run_all.py).
"""

import json
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from dueby.inputs.files import to_yaml, without_secrets
from dueby.local import steps
from dueby.local.early_workers import EarlyWorkers, first_devices
from dueby.local.edits import ManifestWatch
from dueby.local.process import Process, now_us
from dueby.local.processes import Processes, SinkBegun
from dueby.local.record import Record
from dueby.local.running_job import JobEnd, JobSeams, LocalJob, first_snapshot
from dueby.local.this_machine import LocalPool, cache_folder, machine_record
from dueby.plan_words import advise_deadline
from dueby.runs.observations import note_rows, rows_of_run
from dueby.runs.summary import print_summary, summarise, tell_failures
from dueby.terminal.console import Teller, plain_console
from dueby.terminal.plan_table import print_plan
from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.inference_job import InferenceJob
from dueby_api.parts import NONE, Parts
from dueby_api.run_record import Summary
from dueby_api.step_messages import FinishResult
from dueby_api.units import from_micros
from dueby_api.words import counted
from dueby_operator.control.spending import bill_until
from dueby_planner.deadline_classes import Verdict
from dueby_worker.engines.host import process_environment
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.stores import open_store

# Once the rows are there, the record of the run is worth so much waiting, not a worker's ten minutes.
_RECORD_RETRY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class End:
    """How a job's run ended."""

    run: str = ""
    """The run's name in the sink; empty if none was begun."""
    summary: Summary | None = None
    """What came of it; None if it was refused or failed."""
    refusal: str = ""
    """Why it was refused, or failed without a summary; empty otherwise."""
    error: DueByError | None = None
    """What it failed with, without a summary; None if it was refused."""


class Session:
    """One run of a job on a known pool."""

    def __init__(
        self,
        job: InferenceJob,
        pool: LocalPool,
        *,
        file: str,
        folder: Path,
        teller: Teller,
        profiles: Sequence[str] = (),
        images_left: int | None = None,
    ) -> None:
        """`profiles` are the files and folders of profiles in which to note what the run shows. `images_left` are those
        to be done, as far as that is known before the source is indexed. Raise Invalid if the deadline has passed.
        """
        self.job = job
        self.profiles = profiles
        self.pool = pool
        self.images_left = images_left
        self.early = EarlyWorkers()
        self.file = file
        self.folder = folder
        self.teller = teller
        self.start_us = now_us()
        self.deadline_us = job.spec.deadline_us(accepted_us=self.start_us)
        # To the microsecond, so that two runs that begin together have each a folder of its own.
        self.name = from_micros(self.start_us).strftime("%Y%m%dT%H%M%S.%fZ")
        if self.deadline_us <= self.start_us:
            raise Invalid(
                "spec.deadlineTime", f"{from_micros(self.deadline_us)} is in the past; give a time in the future"
            )

    def start_early(self) -> None:
        """Start workers that load the model while the source is indexed, on the devices that the plan will surely have.

        To be called in the main thread.
        """
        time_us = self.deadline_us - now_us()
        devices = first_devices(self.job, self.pool, images=self.images_left, time_us=time_us)
        self.early.start(self.job, devices, folder=self._worker_folder("early"), environment_of=process_environment)

    def prepare(self, on_machine: list[Process]) -> LocalJob:
        """Index the source and return the job as it is planned. `on_machine` are the processes of all jobs."""
        self.on_machine = on_machine
        self.indexed = steps.index(self.job, self.folder, self.teller.say_of_step)
        if self.indexed.note:
            self.teller.say(self.indexed.note)
        self.sink = open_store(self.job.spec.sink.uri)
        # The loop can't wait for a sink that is full or away: it shows that the workers do.
        self.sink_at_once = open_store(self.job.spec.sink.uri, retry=RetryPolicy(total_s=0))
        self.sink_soon = open_store(self.job.spec.sink.uri, retry=RetryPolicy(total_s=_RECORD_RETRY_S))
        if self.indexed.fingerprint is not None:  # by a step that has written to the sink
            for store in (self.sink, self.sink_at_once, self.sink_soon):
                store.remember_written()
        return self._running_job()

    @property
    def can_begin_again(self) -> bool:
        """Whether it is to be believed that another run has begun the sink. The first time it is, as in the operator
        (control/policies/regrid.py).
        """
        return self.indexed.part_size is None

    def begin_again(self, running: LocalJob, begun: SinkBegun) -> LocalJob:
        """Return the job in the parts that another run has begun the sink in."""
        self._take_edit(running)
        size = counted(begun.part_size, "image")
        self.teller.say(f"Another run has begun the sink, in parts of {size}: planning again for them.")
        self.indexed = replace(self.indexed, part_size=begun.part_size)
        return self._running_job()

    def close(self, running: LocalJob, end: JobEnd, *, retry_failed: bool = False) -> End:
        """Finish the sink of a job that has ended, tell people how, and return it.

        Raise the error that it failed with.
        """
        running.keep()
        self._take_edit(running)
        if end.error:
            raise end.error
        if end.ended == "Refused":
            self._show_refusal(end)
            return End(refusal=self._refusal(end))
        closed = self._finish(end, retry_failed=retry_failed)
        # What is done over is done after the loop's end.
        ended_us = now_us() if retry_failed else end.now_us
        summary = self.end(running, end, now_us=ended_us, closed=closed)
        if closed:
            tell_failures(
                self.job.spec, images=closed.rows, failed=closed.errors, sink=self.sink_soon, teller=self.teller
            )
        rows = rows_of_run(
            self.name, self.job, self.pool, running.processes.started, record=running.record, now_us=end.now_us
        )
        for sentence in note_rows(rows, self.pool.profiles, self.profiles, node=self.pool.node):
            self.teller.say(sentence)
        return End(run=self.name, summary=summary)

    def end(self, running: LocalJob, end: JobEnd | None, *, now_us: int, closed: FinishResult | None = None) -> Summary:
        """Print how the run ended, write its last documents, and return its summary. Without an `end` it was
        interrupted.
        """
        self._take_edit(running)
        record = running.record
        summary = summarise(
            self.job,
            record,
            now_us=now_us,
            verdict=end.verdict if end else None,
            done=closed.rows if closed else record.done,
            failed=closed.errors if closed else record.failed,
            warned=closed.warnings if closed else None,
            unlisted=self.indexed.unlisted,
            interrupted=end is None,
            processes=running.processes.started,
            machine=machine_record(self.pool),
            cost=self._cost(running, now_us=now_us),
        )
        # First for people: a store that doesn't answer may hold up what follows.
        print_summary(summary, self.job.spec.sink.uri, self.teller.console, prefix=self.teller.prefix)
        if end is None and (word := self.job.spec.sink.if_exists) != "Resume":
            self.teller.say(f"To go on with these rows, set sink.ifExists to Resume first; it is {word}.")
        # Who presses Ctrl-C since the sink is full does not wait for it.
        sink = self.sink_soon if end else self.sink_at_once
        try:
            sink.replace(self._path_of("job.yaml"), to_yaml(without_secrets(self.job)).encode())
            sink.replace(
                self._path_of("summary.json"), json.dumps(summary.document(), ensure_ascii=False, indent=1).encode()
            )
        except Transient as error:
            self.teller.say(f"The record of this run could not be written: {error}. Its rows are not affected.")
        return summary

    def _take_edit(self, running: LocalJob) -> None:
        """Go on with the manifest as it was edited last."""
        self.job, self.deadline_us = running.edited or self.job, running.record.deadline_us

    def _running_job(self) -> LocalJob:
        indexed, part_size = self.indexed, self.indexed.part_size
        job = first_snapshot(
            self.job,
            indexed,
            parts_there=steps.parts_of_job(self.sink, indexed, part_size) if part_size else NONE,
            accepted_us=self.start_us,
        )
        record = Record(start_us=self.start_us, deadline_us=self.deadline_us, images=indexed.images, cost=indexed.cost)
        seams = JobSeams(
            parts_there=self._parts_there_at_once,
            keep=self._keep_at_once,
            edited_job=ManifestWatch(self.file, self.job, self.teller.say).edited_job,
            say=self.teller.say,
            show_plan=self._show_plan,
        )
        return LocalJob(job, self.pool, processes=self._processes(), record=record, seams=seams)

    def _processes(self, *, retry_failed: bool = False) -> Processes:
        return Processes(
            self.job,
            self.pool.slots,
            folder=self._worker_folder("retry" if retry_failed else "workers"),
            cache_folder=cache_folder(),
            images=self.indexed.images,
            fingerprint=self.indexed.fingerprint,
            retry_failed=retry_failed,
            environment_of=process_environment,
            on_machine=self.on_machine,
            early=None if retry_failed else self.early,
        )

    def _worker_folder(self, purpose: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=self.folder))

    def _show_plan(self, verdict: Verdict) -> None:
        if self.teller.prefix:
            self.teller.say("its plan")
        self._print_plan(verdict, self.teller.console)

    def _print_plan(self, verdict: Verdict, console: Console) -> None:
        def advise(earliest_us: int) -> str:
            return advise_deadline(self.job.spec, earliest_us, now_us=now_us(), start_us=self.start_us)

        whole_us = self.deadline_us - self.start_us
        print_plan(verdict, console, cost=self.indexed.cost, advise=advise, whole_us=whole_us)

    def _cost(self, running: LocalJob, *, now_us: int) -> str | None:
        """Return what the workers did cost; None without prices, or if there was no worker."""
        spent, tariff = running.job.status.spent, self.pool.tariff
        return bill_until(spent, tariff, now_us).text if spent and tariff else None

    def _show_refusal(self, end: JobEnd) -> None:
        if end.verdict:
            self._show_plan(end.verdict)
        else:
            self.teller.say(_refusal_beside_others(end))

    def _refusal(self, end: JobEnd) -> str:
        """Return the same as a text."""
        if not end.verdict:
            return _refusal_beside_others(end)
        text = StringIO()
        self._print_plan(end.verdict, plain_console(text))
        return text.getvalue().rstrip()

    def _finish(self, end: JobEnd, *, retry_failed: bool) -> FinishResult | None:
        """Finish the sink if every part is there, and return its rows and errors; None if parts are missing."""
        if end.ended != "Complete" or end.model is None:
            return None
        say = self.teller.say_of_step
        closed = steps.finish(self.job, self.folder, say)
        if retry_failed and closed.errors:
            steps.retry_failed(self._processes(retry_failed=True), end.model)
            closed = steps.finish(self.job, self.folder, say)
        return closed

    def _keep_at_once(self, document: str, data: bytes) -> None:
        with suppress(Transient):
            self.sink_at_once.replace(self._path_of(document), data)

    def _path_of(self, document: str) -> str:
        return f"_dueby/runs/{self.name}/{document}"

    def _parts_there_at_once(self, images: int, part_size: int) -> Parts | None:
        try:
            return steps.parts_of_job(self.sink_at_once, self.indexed, part_size)
        except Transient:
            return None


def _refusal_beside_others(end: JobEnd) -> str:
    return f"Infeasible: {end.sentence}"
