"""The measuring processes of a layout, one for each slice: started, asked and ended together.

A process that is killed for its memory has found the memory's limit. One that dies otherwise is a bug, ours or its
engine's, and the end of its standard error goes into the message. However the group ends (done, an error, Ctrl-C), its
processes are gone afterwards: each is in a session of its own, so that Ctrl-C reaches only the profiler, which then
kills the whole session; and each ends with the profiler, so that even one that is killed leaves no process behind.

Thread counts and allocator settings work only if libraries find them in the environment when they are loaded, so they
can't be part of a message.
"""

import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

from dueby_api.agreement import Agreement
from dueby_api.engines import EngineName
from dueby_api.errors import DueByError, Invalid
from dueby_api.inference_job import Model
from dueby_api.words import counted
from dueby_profiler.analysis.statistics import MIN_GPU_S, MIN_GPU_STEPS
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.measuring.messages import (
    Agree,
    Agreed,
    Build,
    Built,
    Contend,
    Contended,
    DecodingRates,
    Failed,
    MeanKnown,
    MeasureDecoding,
    Message,
    NoMemory,
    Point,
    Setup,
    StartSteps,
    StopSteps,
    expect,
    read_message,
    write_message,
)
from dueby_worker.engines.host import process_environment
from dueby_worker.system.end_with_parent import ending_with_me

MEASURE = (sys.executable, "-m", "dueby_profiler.measuring.measure")
# On top of the time that a process was given: a step, a build or slow imports may take minutes, a hang never ends.
ANSWER_TIMEOUT_S = 300.0
# Images are written and decoders loaded before the first phase of `contend` or `decode` begins.
_PREPARATION_S = 1.0
# How much of a dead process's standard error to quote.
_ERROR_CHARACTERS = 2000
_READ_BYTES = 1 << 20
# The line of a traceback that says what went wrong.
_CAUSE = re.compile(r"\w[\w.]*(Error|Exception|Exit)\b")
Kind = TypeVar("Kind")


class OutOfMemory(DueByError):
    """A mini-batch of this size needs more memory than there is."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a mini-batch of {counted(size, 'image')} does not fit into memory")
        self.size = size


class Crashed(DueByError):
    """A measuring process ended by itself."""

    def __init__(self, code: int, errors: str, *, size: int = 0) -> None:
        ended = f"a measuring process ended with exit code {code}"
        super().__init__(f"{ended}:\n{errors}")
        lines = errors.splitlines()
        # CUDA's errors end with lines of advice that are always the same.
        causes = [line for line in lines if _CAUSE.match(line)] or lines
        self.brief = ": ".join([ended, *causes[-1:]])
        """The same in a line."""
        self.size = size
        """The mini-batch size that it was at; 0 before the first."""


def contention_s(phase_s: float) -> float:
    """Return how long ProcessGroup.contend takes."""
    return _PREPARATION_S + 3 * phase_s


def decoding_s(phase_s: float, cores: Sequence[int]) -> float:
    """Return how long ProcessGroup.decode takes."""
    return _PREPARATION_S + (1 + len(cores)) * phase_s


@dataclass(frozen=True, kw_only=True)
class Member:
    """A measuring process, and the file that receives its standard error."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]


class ProcessGroup:
    """A context in which one fresh process measures on each slice of a layout."""

    def __init__(
        self,
        layout: Layout,
        setup: Callable[[int], Setup],
        *,
        environment: Mapping[str, str],
        clock: Callable[[], float],
        command: Sequence[str] = MEASURE,
        status_pages: Sequence[int] = (),
    ) -> None:
        """Take what makes the setup of the n-th slice, and what is added to this process's own environment.

        `status_pages` are file descriptors of the pages on which the processes report to a monitor, one for each.
        """
        self._layout, self._setup, self._clock, self._command = layout, setup, clock, command
        self._environment = {**os.environ, **environment}
        self._status_pages = status_pages
        self._members: list[Member] = []
        self._size = 0

    def __enter__(self) -> Self:
        try:
            for number, slice_ in enumerate(self._layout.slices):
                # Of a pod's only GPU the container runtime has said which it is, in words of its own.
                gpu = {"CUDA_VISIBLE_DEVICES": slice_.gpu} if slice_.gpu and not slice_.is_only_gpu else {}
                # It notes the time: the process's start-up begins here.
                setup = self._setup(number)
                pages = self._status_pages[number : number + 1]
                self._members.append(self._start({**self._environment, **gpu}, inherited=pages))
                # Of a process that is gone already, the first question will tell why.
                with suppress(BrokenPipeError):
                    self._write(number, setup.replace(status_page=pages[0]) if pages else setup)
        except BaseException:
            # The processes are in sessions of their own: nothing else would end those that were started already.
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def build(self, size: int) -> list[Built]:
        """Let every process build its engine for this size."""
        self._size = size
        return self._ask(Build(size=size), Built)

    def run(self, limit_s: float, at_end: Callable[[], None] | None = None) -> list[Point]:
        """Let every process run mini-batches until each knows its mean, or for this long.

        If there is something to be done `at_end`, they run for the whole time, and while it is done.
        """
        gpu = self._layout.is_gpu
        start = StartSteps(
            limit_us=int(limit_s * 1e6),
            least_us=int((limit_s if at_end else MIN_GPU_S if gpu else 0) * 1e6),
            least_steps=MIN_GPU_STEPS if gpu else 0,
        )
        self._ask(start, MeanKnown, timeout_s=limit_s + ANSWER_TIMEOUT_S)
        if at_end:
            at_end()
        return self._ask(StopSteps(), Point)

    def contend(self, phase_s: float, folder: Path) -> list[Contended]:
        """Let every process decode, run its model, and do both, each for this long and all at the same time."""
        begin, decoded, modelled, end = (int(1e6 * (self._clock() + _PREPARATION_S + i * phase_s)) for i in range(4))
        message = Contend(moments_us=(begin, decoded, modelled, end), folder=str(folder))
        return self._ask(message, Contended, timeout_s=contention_s(phase_s) + ANSWER_TIMEOUT_S)

    def decode(self, phase_s: float, cores: Sequence[int], folder: Path) -> list[DecodingRates]:
        """Let every process decode with none of these numbers of cores and with each, all at the same time."""
        message = MeasureDecoding(
            cores=tuple(cores),
            begin_us=int(1e6 * (self._clock() + _PREPARATION_S)),
            phase_us=int(1e6 * phase_s),
            folder=str(folder),
        )
        return self._ask(message, DecodingRates, timeout_s=decoding_s(phase_s, cores) + ANSWER_TIMEOUT_S)

    def agree(self, message: Agree) -> list[Agreement | None]:
        """Let every process compare its engine with plain fp32 on photos."""
        answers = self._ask(message, Agreed, timeout_s=1e-6 * message.limit_us + ANSWER_TIMEOUT_S)
        return [answer.agreement for answer in answers]

    @property
    def pids(self) -> list[int]:
        """Process ids, in the order of the slices."""
        return [member.process.pid for member in self._members]

    def _start(self, environment: Mapping[str, str], *, inherited: Sequence[int]) -> Member:
        # A file and not a pipe: nobody reads it while the process runs, and a full pipe would stop the process.
        errors = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=ending_with_me(),
            pass_fds=inherited,
        )
        return Member(process=process, errors=errors)

    def _end(self) -> None:
        for member in self._members:
            with suppress(ProcessLookupError):
                os.killpg(member.process.pid, signal.SIGKILL)
        for member in self._members:
            member.process.wait()
            for stream in (member.process.stdin, member.process.stdout, member.errors):
                if stream is not None:
                    # What a process was still to be told when it died: it is closed all the same.
                    with suppress(BrokenPipeError):
                        stream.close()

    def _ask(self, message: Message, kind: type[Kind], *, timeout_s: float = ANSWER_TIMEOUT_S) -> list[Kind]:
        """Send everyone the same message, and wait for everyone's answer; return them in the order of the slices."""
        for number in range(len(self._members)):
            self._send(number, message)
        end_s = self._clock() + timeout_s
        received = [b""] * len(self._members)
        with selectors.DefaultSelector() as waiting:
            for number, member in enumerate(self._members):
                waiting.register(_stream(member.process.stdout), selectors.EVENT_READ, number)
            while waiting.get_map():
                for key, _ in waiting.select(timeout=max(0.0, end_s - self._clock())):
                    more = os.read(key.fd, _READ_BYTES)
                    if not more:
                        raise self._explain_exit(key.data)
                    received[key.data] += more
                    # An answer is one line, and the process sends nothing more until it is asked again.
                    if more.endswith(b"\n"):
                        waiting.unregister(key.fileobj)
                if self._clock() >= end_s:
                    raise DueByError(f"a measuring process has not answered {message} within {timeout_s:.0f} s")
        return [self._check_answer(read_message(line.decode()), kind) for line in received]

    def _send(self, number: int, message: Message) -> None:
        try:
            self._write(number, message)
        except BrokenPipeError:
            raise self._explain_exit(number) from None

    def _write(self, number: int, message: Message) -> None:
        stdin = _stream(self._members[number].process.stdin)
        stdin.write(write_message(message).encode())
        stdin.flush()

    def _check_answer(self, message: Message, kind: type[Kind]) -> Kind:
        if isinstance(message, Failed):
            raise Invalid(message.field, message.message)
        if isinstance(message, NoMemory):
            raise OutOfMemory(message.size)
        return expect(message, kind)

    def _explain_exit(self, number: int) -> DueByError:
        """Return the error that says why the process is gone."""
        member = self._members[number]
        code = member.process.wait()
        # The profiler itself kills its processes only when it is done with them, so the kernel did, for their memory.
        if code == -signal.SIGKILL:
            return OutOfMemory(self._size)
        member.errors.seek(0)
        text = member.errors.read()[-_ERROR_CHARACTERS:].decode(errors="replace").strip()
        return Crashed(code, text, size=self._size)


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise DueByError("a measuring process was started without its pipes")
    return stream


def start_group(
    layout: Layout,
    model_of: Callable[[int], Model],
    engine: EngineName,
    *,
    cache_dir: Path,
    starts_empty: bool = False,
    clock: Callable[[], float],
    status_pages: Sequence[int] = (),
) -> ProcessGroup:
    """Return a context in which one fresh process measures `model_of` the slice on each slice.

    `cache_dir` keeps compiled models. With `starts_empty`, each process builds its first engine as if nothing were in
    there. `status_pages` are as in ProcessGroup.
    """

    def setup(number: int) -> Setup:
        slice_ = layout.slices[number]
        return Setup(
            model=model_of(number),
            engine=engine,
            threads=slice_.threads,
            cores=slice_.cores,
            cache_dir=str(cache_dir),
            starts_empty=starts_empty,
            spawned_us=int(clock() * 1e6),
        )

    environment = process_environment(engine, layout.slices[0].threads)
    return ProcessGroup(layout, setup, environment=environment, clock=clock, status_pages=status_pages)
