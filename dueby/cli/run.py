"""`dueby run`: index, plan and run a job on this machine, with processes where a cluster has pods.

Jobs that can be refused without any work are refused first. Then the machine is measured if it has no profile of the
model, the source is indexed, and the control loop runs until every part is in the sink. Whatever ends it (Ctrl-C,
kill -9, a power cut), the same command continues where it stopped.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dueby.cli.console import people_console
from dueby.cli.deadline_advice import advise_deadline
from dueby.cli.files import profile_home, read_job, read_profiles, to_yaml, without_secrets
from dueby.cli.observations import note_rows
from dueby.cli.places import require_places
from dueby.cli.plan import EXIT_INFEASIBLE, require_plannable
from dueby.cli.plan_table import print_plan
from dueby.cli.screen import Screen
from dueby.cli.summary import EXIT_LATE, print_complete, print_summary, summarise
from dueby.local import steps
from dueby.local.clock import now_us
from dueby.local.edits import ManifestWatch
from dueby.local.job import first_snapshot
from dueby.local.loop import Loop, LoopEnd, Seams
from dueby.local.observations import rows_of_run
from dueby.local.processes import Processes, SinkBegun
from dueby.local.record import Record
from dueby.local.this_machine import LocalPool, cache_folder, find_pool, machine_record
from dueby_api.errors import Invalid, Transient
from dueby_api.gpu_profile import GPUProfile
from dueby_api.grid import Grid
from dueby_api.inference_job import InferenceJob
from dueby_api.parts import NONE, Parts, parts_of
from dueby_api.run_record import Summary
from dueby_api.step_messages import FinishResult
from dueby_api.units import from_micros
from dueby_api.words import counted
from dueby_planner.deadline_classes import Verdict
from dueby_planner.profiles.class_profiles import matching
from dueby_planner.profiles.size_prediction import predictions
from dueby_worker.engines.host import process_environment
from dueby_worker.output.parts import parts_among
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.system.scratch import scratch_folder

# Once the rows are there, the record of the run is worth so much waiting, not a worker's ten minutes.
_RECORD_RETRY_S = 30.0
EXAMPLES = """\
examples:
  dueby run -f job.yaml                   run the job, or continue it where it was stopped
  dueby run -f job.yaml --profiles .      plan it with the profiles in this folder
  dueby run -f job.yaml --retry-failed    afterwards, try the unreadable images again
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `dueby run`."""
    parser.add_argument(
        "-f", "--file", required=True, metavar="JOB", help="the InferenceJob's file; - is standard input"
    )
    parser.add_argument(
        "--profiles",
        action="append",
        default=[],
        metavar="PATH",
        help="a file or folder of GPUProfiles; may be repeated (default: this machine's, which is measured if needed)",
    )
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="once every part is there, classify the images again whose row has an error",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the job and return the exit code."""
    job = read_placed_job(arguments.file)
    with scratch_folder("run") as folder:
        if not arguments.retry_failed and (closed := steps.finish_if_complete(job, folder)):
            return print_complete(job, closed)
        pool = find_devices(job, arguments.profiles)
        profiles = arguments.profiles or [str(profile_home())]
        session = Session(job, pool, file=arguments.file, folder=folder, profiles=profiles)
        return session.run(retry_failed=arguments.retry_failed)


def read_placed_job(file: str) -> InferenceJob:
    """Return the job in the file; raise Invalid if it is none, or reads or writes where nothing can be."""
    job = read_job(file)
    require_places(job.spec)
    return job


def find_devices(job: InferenceJob, paths: list[str]) -> LocalPool:
    """Return this machine's devices for the job; raise Invalid for whatever `dueby plan` refuses of them."""
    pool = find_pool(_profiles(job, paths), job.spec.model, classes=job.spec.gpus.classes)
    require_plannable(job.spec, pool.profiles, pool.counts)
    return pool


class Session:
    """One run of a job on a known pool."""

    def __init__(
        self, job: InferenceJob, pool: LocalPool, *, file: str, folder: Path, profiles: Sequence[str] = ()
    ) -> None:
        """`profiles` are the files and folders of profiles in which to note what the run shows."""
        self.job = job
        self.profiles = profiles
        self.pool = pool
        self.file = file
        self.folder = folder
        self.start_us = now_us()
        self.deadline_us = job.spec.deadline_us(accepted_us=self.start_us)
        # To the microsecond, so that two runs that begin together have each a folder of its own.
        self.name = from_micros(self.start_us).strftime("%Y%m%dT%H%M%S.%fZ")
        if self.deadline_us <= self.start_us:
            raise Invalid(
                "spec.deadlineTime", f"{from_micros(self.deadline_us)} is in the past; give a time in the future"
            )

    def run(self, *, retry_failed: bool) -> int:
        """Run until the job is over and return the exit code."""
        indexed = steps.index(self.job, self.folder)
        self.sink = open_store(self.job.spec.sink.uri)
        # The loop can't wait for a sink that is full or away: it shows that the workers do.
        self.sink_at_once = open_store(self.job.spec.sink.uri, retry=RetryPolicy(total_s=0))
        self.sink_soon = open_store(self.job.spec.sink.uri, retry=RetryPolicy(total_s=_RECORD_RETRY_S))
        if indexed.fingerprint is not None:  # by a step that has written to the sink
            for store in (self.sink, self.sink_at_once, self.sink_soon):
                store.remember_written()
        try:
            return self._work(indexed, retry_failed=retry_failed)
        except SinkBegun as begun:
            # As the operator does (control/policies/regrid.py), and a second time isn't believed either.
            if indexed.part_size is not None:
                raise
            size = counted(begun.part_size, "image")
            print(f"Another run has begun the sink, in parts of {size}: planning anew for them.", file=sys.stderr)
            return self._work(replace(indexed, part_size=begun.part_size), retry_failed=retry_failed)

    def _work(self, indexed: steps.Indexed, *, retry_failed: bool) -> int:
        """Plan and run workers until the job is over, and return the exit code.

        Raise SinkBegun, with no worker left, if the sink was begun in other parts.
        """
        part_size = indexed.part_size
        job = first_snapshot(
            self.job,
            indexed,
            parts_there=_parts_there(self.sink, indexed.images, part_size) if part_size else NONE,
            accepted_us=self.start_us,
        )
        record = Record(start_us=self.start_us, deadline_us=self.deadline_us, images=indexed.images, cost=indexed.cost)
        processes = self._processes(indexed)
        with Screen() as screen:
            loop = Loop(job, self.pool, processes=processes, record=record, seams=self._seams(screen, indexed))
            try:
                outcome = loop.run()
            except KeyboardInterrupt:
                self._end(loop.now_us, record, processes, outcome=None, closed=None)
                raise
            finally:
                loop.keep()
        if outcome.ended == "Refused" and outcome.verdict:
            self._print_plan(outcome.verdict, people_console(stderr=True), indexed)
            return EXIT_INFEASIBLE
        closed = self._close(outcome, indexed, retry_failed)
        summary = self._end(loop.now_us, record, processes, outcome=outcome, closed=closed)
        self._note(processes, record, loop.now_us)
        return 0 if summary.verdict == "Succeeded" else EXIT_LATE

    def _processes(self, indexed: steps.Indexed, *, retry_failed: bool = False) -> Processes:
        return Processes(
            self.job,
            self.pool.slots,
            folder=Path(tempfile.mkdtemp(prefix="retry-" if retry_failed else "workers-", dir=self.folder)),
            cache_folder=cache_folder(),
            images=indexed.images,
            fingerprint=indexed.fingerprint,
            retry_failed=retry_failed,
            environment_of=process_environment,
        )

    def _seams(self, screen: Screen, indexed: steps.Indexed) -> Seams:
        return Seams(
            parts_there=self._parts_there_at_once,
            keep=self._keep_at_once,
            edited_job=ManifestWatch(self.file, self.job, screen.say).edited_job,
            show=screen.show,
            say=screen.say,
            show_plan=lambda verdict: self._print_plan(verdict, screen.console, indexed),
            now_us=now_us,
            sleep_s=time.sleep,
        )

    def _print_plan(self, verdict: Verdict, console: Console, indexed: steps.Indexed) -> None:
        def advise(earliest_us: int) -> str:
            return advise_deadline(self.job.spec, earliest_us, now_us=now_us(), start_us=self.start_us)

        print_plan(verdict, console, cost=indexed.cost, advise=advise)

    def _end(
        self,
        now_us: int,
        record: Record,
        processes: Processes,
        *,
        outcome: LoopEnd | None,
        closed: FinishResult | None,
    ) -> Summary:
        """Print how the run ended, write its last documents, and return its summary. It was interrupted if `outcome`
        is None.
        """
        summary = summarise(
            self.job,
            record,
            now_us=now_us,
            verdict=outcome.verdict if outcome else None,
            done=closed.rows if closed else record.done,
            failed=closed.errors if closed else record.failed,
            warned=closed.warnings if closed else None,
            interrupted=outcome is None,
            processes=processes.started,
            machine=machine_record(self.pool),
        )
        # First for people: a store that doesn't answer may hold up what follows.
        print_summary(summary, self.job.spec.sink.uri, people_console(stderr=True))
        # Who presses Ctrl-C since the sink is full does not wait for it.
        sink = self.sink_soon if outcome else self.sink_at_once
        try:
            sink.replace(self._path_of("job.yaml"), to_yaml(without_secrets(self.job)).encode())
            sink.replace(
                self._path_of("summary.json"), json.dumps(summary.document(), ensure_ascii=False, indent=1).encode()
            )
        except Transient as error:
            print(f"The record of this run could not be written: {error}. Its rows are not affected.", file=sys.stderr)
        return summary

    def _note(self, processes: Processes, record: Record, now_us: int) -> None:
        """Note in this machine's profiles how long the steps of the run took."""
        rows = rows_of_run(self.name, self.job, self.pool, processes.started, record=record, now_us=now_us)
        for sentence in note_rows(rows, self.pool.profiles, self.profiles, node=self.pool.node):
            print(sentence, file=sys.stderr)

    def _close(self, outcome: LoopEnd, indexed: steps.Indexed, retry_failed: bool) -> FinishResult | None:
        """Finish the sink if every part is there, and return its rows and errors; None if parts are missing."""
        if outcome.ended != "Complete":
            return None
        closed = steps.finish(self.job, self.folder)
        if retry_failed and closed.errors:
            steps.retry_failed(self._processes(indexed, retry_failed=True), outcome.model)
            closed = steps.finish(self.job, self.folder)
        return closed

    def _keep_at_once(self, document: str, data: bytes) -> None:
        with suppress(Transient):
            self.sink_at_once.replace(self._path_of(document), data)

    def _path_of(self, document: str) -> str:
        return f"_dueby/runs/{self.name}/{document}"

    def _parts_there_at_once(self, images: int, part_size: int) -> Parts | None:
        try:
            return _parts_there(self.sink_at_once, images, part_size)
        except Transient:
            return None


def _parts_there(sink: Store, images: int, part_size: int) -> Parts:
    return parts_of(parts_among(sink.list_names(), Grid(images=images, part_size=part_size)))


def _profiles(job: InferenceJob, paths: list[str]) -> list[GPUProfile]:
    """Return the profiles at the paths and predictions from them; by default this machine's, measured if needed."""
    if paths:
        given = read_profiles(paths)
        return [*given, *predictions(given, job.spec.model)]
    home = profile_home()
    found = read_profiles([str(home)]) if home.is_dir() else []
    if not matching(found, job.spec.model):
        print(f"No profile of {job.spec.model.name} in {home}: measuring this machine first.", file=sys.stderr)
        from dueby.cli.profile import measure

        measure(job.spec.model, home, quick=True)
        found = read_profiles([str(home)])
    return found
