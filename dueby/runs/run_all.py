"""All jobs of one `dueby run`: they are indexed, share the machine in one loop, and each comes to its own end.

Sources are indexed one after the other, in the order of the deadlines, so that no job waits for one with a later
deadline. That is done beside the loop, as is what follows a job's end, since others are at work meanwhile. Both are
processes that these threads wait for; when this process ends, so do they. While the first source is indexed, workers of
its job load the model (local/early_workers.py).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread

from dueby.local.loop import Loop, Seams
from dueby.local.process import Process, now_us
from dueby.local.processes import TICK_S, SinkBegun, wait_for_an_end
from dueby.local.running_job import JobEnd, LocalJob
from dueby.local.this_machine import LocalPool
from dueby.runs.screen import Screen
from dueby.runs.session import End, Session
from dueby_api.errors import DueByError


class RunAll:
    """The jobs' sessions and how they end."""

    def __init__(
        self,
        sessions: Sequence[Session],
        complete: Mapping[str, Callable[[], End]],
        pool: LocalPool,
        screen: Screen,
        *,
        retry_failed: bool = False,
    ) -> None:
        """`complete` has what there is to do about jobs that need no worker, by their names."""
        self.sessions = {session.job.metadata.name: session for session in sessions}
        self.complete = complete
        self.screen = screen
        self.retry_failed = retry_failed
        self.ends: dict[str, End] = {}
        """How those have ended that have, by their names."""
        self.errors: list[DueByError] = []
        """What was wrong with those that have failed."""
        self.on_machine: list[Process] = []
        """The processes of all jobs."""
        self.ready: SimpleQueue[LocalJob] = SimpleQueue()
        self.preparing: list[Future[None]] = []
        self.closing: list[Future[None]] = []
        self.last: Callable[[], None] | None = None
        """What follows the end of the last job, below the view of it."""
        seams = Seams(arrived=self._arrived, ended=self._ended, show=screen.show, now_us=now_us, sleep_s=self._sleep)
        self.loop = Loop(pool, seams)

    def run(self) -> Mapping[str, End]:
        """Run until all jobs are over; return how each ended, by its name. Raise what a single job fails of."""
        in_order = sorted(self.sessions.values(), key=lambda session: session.deadline_us)
        self.preparing.append(_in_background(partial(self._index, in_order)))
        for name, close in self.complete.items():
            self.closing.append(_in_background(partial(self._settle, name, close)))
        with self.screen:
            try:
                # One source is indexed at a time, and the other jobs' models would wait in memory for long.
                for session in in_order[:1]:
                    session.start_early()
                self.loop.run()
            except KeyboardInterrupt:
                for job in self.loop.jobs:
                    self.sessions[job.name].end(job, None, now_us=self.loop.now_us)
                raise
            finally:
                for session in in_order:
                    session.early.end()
                for job in self.loop.jobs:
                    job.keep()
        if self.last:
            self.last()
        for closing in self.closing:
            closing.result()
        if self.screen.is_of_one and self.errors:
            raise self.errors[0]
        return self.ends

    def _index(self, sessions: Sequence[Session]) -> None:
        for session in sessions:
            self._prepare(session, partial(session.prepare, self.on_machine))

    def _prepare(self, session: Session, make: Callable[[], LocalJob]) -> None:
        try:
            self.ready.put(make())
        except DueByError as error:
            session.early.end()
            self._fail(session.job.metadata.name, error)

    def _arrived(self, may_wait: bool) -> Sequence[LocalJob] | None:
        are_all = self._are_all_ready()
        arrived: list[LocalJob] = []
        with suppress(Empty):
            if may_wait and not are_all:
                arrived.append(self.ready.get(timeout=TICK_S))
            while True:
                arrived.append(self.ready.get_nowait())
        if arrived or not are_all:
            return arrived
        for preparing in self.preparing:
            preparing.result()  # which raises what was a bug
        return None

    def _are_all_ready(self) -> bool:
        return all(preparing.done() for preparing in self.preparing)

    def _sleep(self, limit_s: float) -> None:
        # Who waits for the job's end isn't to wait for the next look.
        wait_for_an_end([process for job in self.loop.jobs for process in job.processes.started], limit_s)

    def _ended(self, job: LocalJob, end: JobEnd) -> None:
        session = self.sessions[job.name]
        if isinstance(end.error, SinkBegun) and session.can_begin_again:
            again = partial(self._prepare, session, partial(session.begin_again, job, end.error))
            self.preparing.append(_in_background(again))
            return
        close = partial(session.close, job, end, retry_failed=self.retry_failed)
        settle = partial(self._settle, job.name, close)
        if self.loop.jobs or not self._are_all_ready() or not self.ready.empty():
            self.closing.append(_in_background(settle))
        else:
            self.last = settle

    def _settle(self, name: str, close: Callable[[], End]) -> None:
        try:
            self.ends[name] = close()
        except DueByError as error:
            self._fail(name, error)

    def _fail(self, name: str, error: DueByError) -> None:
        self.errors.append(error)
        self.ends[name] = End(refusal=str(error), error=error)
        if not self.screen.is_of_one:
            self.screen.teller(name).say(str(error))


def _in_background(work: Callable[[], None]) -> Future[None]:
    """Do it in a thread that nobody waits for at the end of this process."""
    future: Future[None] = Future()

    def do() -> None:
        try:
            work()
            future.set_result(None)
        except BaseException as error:  # it is raised where the result is asked for
            future.set_exception(error)

    Thread(target=do, daemon=True).start()
    return future
