"""The measuring processes of a layout, one for each slice, started, asked and ended together.

A process that is killed for its memory has found the memory's limit; one that dies otherwise is a bug, and says so
with its last words. However the crew ends (done, an error, Ctrl-C), its processes are gone when it does: each is in a
session of its own, so that Ctrl-C reaches only the profiler, which kills the session whole; and each leaves when its
input ends, so that even a profiler that is killed leaves none behind.
"""

import os
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

from dueby_api.errors import DueByError, Invalid
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.measuring.messages import (
    Build,
    Built,
    Contend,
    Contended,
    Failed,
    Go,
    Known,
    Message,
    NoMemory,
    Point,
    Setup,
    Stop,
    expect,
    read_message,
    write_message,
)

MEASURE = (sys.executable, "-m", "dueby_profiler.measuring.measure")
# Beyond the time that a process was given: a step, a build or slow imports may take minutes, a hang never ends.
PATIENCE_S = 300.0
# Pictures are made and decoders loaded before the first phase begins.
_TO_GET_READY_S = 1.0
_LAST_WORDS = 2000
Kind = TypeVar("Kind")


class OutOfMemory(DueByError):
    """A mini-batch of this size needs more memory than there is."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a mini-batch of {size} images does not fit into memory")
        self.size = size


def contention_s(phase_s: float) -> float:
    """What Crew.contend takes."""
    return _TO_GET_READY_S + 3 * phase_s


@dataclass(frozen=True, kw_only=True)
class Member:
    """A measuring process, and the file that keeps its last words."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]


class Crew:
    """A context in which one fresh process measures on each slice."""

    def __init__(
        self,
        layout: Layout,
        setup: Callable[[int], Setup],
        *,
        environment: Mapping[str, str],
        clock: Callable[[], float],
        command: Sequence[str] = MEASURE,
        boards: Sequence[int] = (),
    ) -> None:
        """`setup` makes the setup of the n-th slice; `environment` is added to this process's own.

        `boards` are descriptors of the pages on which they say what they do, one for each, where a monitor watches.
        """
        self._layout, self._setup, self._clock, self._command = layout, setup, clock, command
        self._environment = {**os.environ, **environment}
        self._boards = boards
        self._members: list[Member] = []
        self._size = 0

    def __enter__(self) -> Self:
        try:
            for number, slice_ in enumerate(self._layout.slices):
                gpu = {"CUDA_VISIBLE_DEVICES": slice_.gpu} if slice_.gpu else {}
                setup = self._setup(number)  # which takes the time: the start-up begins here
                boards = self._boards[number : number + 1]
                self._members.append(self._start({**self._environment, **gpu}, inherited=boards))
                self._tell(number, setup.replace(board=boards[0]) if boards else setup)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def build(self, size: int) -> list[Built]:
        """Every process makes its engine for this size."""
        self._size = size
        return self._ask(Build(size=size), Built)

    def run(self, limit_s: float) -> list[Point]:
        """Every process runs mini-batches until each knows its mean, or for this long."""
        self._ask(Go(limit_us=int(limit_s * 1e6)), Known, patience_s=limit_s + PATIENCE_S)
        return self._ask(Stop(), Point)

    def contend(self, phase_s: float, folder: Path) -> list[Contended]:
        """Every process decodes, runs its model, and does both, each for this long and all at the same time."""
        begin, decoded, modelled, end = (int(1e6 * (self._clock() + _TO_GET_READY_S + i * phase_s)) for i in range(4))
        message = Contend(moments_us=(begin, decoded, modelled, end), folder=str(folder))
        return self._ask(message, Contended, patience_s=contention_s(phase_s) + PATIENCE_S)

    @property
    def pids(self) -> list[int]:
        """Its processes, in the order of the slices."""
        return [member.process.pid for member in self._members]

    def _start(self, environment: Mapping[str, str], *, inherited: Sequence[int]) -> Member:
        errors = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=dict(environment),
            start_new_session=True,
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
                    stream.close()

    def _ask(self, message: Message, kind: type[Kind], *, patience_s: float = PATIENCE_S) -> list[Kind]:
        """Tell everyone the same, and wait for everyone's answer, in the order of the slices."""
        for number in range(len(self._members)):
            self._tell(number, message)
        end_s = self._clock() + patience_s
        heard = [b""] * len(self._members)
        with selectors.DefaultSelector() as waiting:
            for number, member in enumerate(self._members):
                waiting.register(_stream(member.process.stdout), selectors.EVENT_READ, number)
            while waiting.get_map():
                for key, _ in waiting.select(timeout=max(0.0, end_s - self._clock())):
                    more = os.read(key.fd, 1 << 20)
                    if not more:
                        raise self._death(key.data)
                    heard[key.data] += more
                    if more.endswith(b"\n"):
                        waiting.unregister(key.fileobj)
                if self._clock() >= end_s:
                    raise DueByError(
                        f"a measuring process has not answered for {patience_s:.0f} s, asked for {message}"
                    )
        return [self._understood(read_message(line.decode()), kind) for line in heard]

    def _tell(self, number: int, message: Message) -> None:
        stdin = _stream(self._members[number].process.stdin)
        try:
            stdin.write(write_message(message).encode())
            stdin.flush()
        except BrokenPipeError:
            raise self._death(number) from None

    def _understood(self, message: Message, kind: type[Kind]) -> Kind:
        if isinstance(message, Failed):
            raise Invalid(message.field, message.message)
        if isinstance(message, NoMemory):
            raise OutOfMemory(message.size)
        return expect(message, kind)

    def _death(self, number: int) -> DueByError:
        """Why the process is gone."""
        member = self._members[number]
        code = member.process.wait()
        if code == -signal.SIGKILL:  # nobody else kills it: the kernel did, for its memory
            return OutOfMemory(self._size)
        member.errors.seek(0)
        words = member.errors.read()[-_LAST_WORDS:].decode(errors="replace").strip()
        return DueByError(f"a measuring process ended with exit code {code}:\n{words}")


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise DueByError("a measuring process was started without its pipes")
    return stream
