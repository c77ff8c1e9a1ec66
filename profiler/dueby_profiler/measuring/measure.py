"""A measuring process: `python -m dueby_profiler.measuring.measure`, one fresh process for each slice and round.

It does what a worker does up to its first mini-batch, in the same order and with the same code, and then runs mini-
batches of the sizes that it is told. It measures one thing at a time and decides nothing; `messages` draws the talk.
"""

import os
import select
from itertools import pairwise
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_profiler.analysis.statistics import is_known
from dueby_profiler.measuring.bench import Bench, now_us
from dueby_profiler.measuring.messages import (
    Build,
    Contend,
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
from dueby_profiler.monitor.board import Board, Phase, Silent, Teller, Writer


class Talk:
    """Both ends of the talk with the profiler, which may also be asked whether something has been said."""

    def __init__(self, *, reader: int, writer: int) -> None:
        self._reader, self._writer, self._read = reader, writer, b""

    def hear(self) -> Message:
        """The next message; leaves the process where the profiler is gone."""
        while b"\n" not in self._read:
            more = os.read(self._reader, 65_536)
            if not more:
                os._exit(0)
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return read_message(line.decode())

    def is_spoken_to(self) -> bool:
        """Whether there is something to hear, the profiler's end included."""
        return b"\n" in self._read or bool(select.select([self._reader], [], [], 0)[0])

    def say(self, message: Message) -> None:
        """Send a message."""
        line = write_message(message).encode()
        while line:
            line = line[os.write(self._writer, line) :]


def run_point(bench: Bench, go: Go, talk: Talk) -> Point:
    """The warm-up and then steady mini-batches until told to stop, `depth` of them in flight as in a worker."""
    engine, buffers, board = bench.ready_engine(), bench.buffers, bench.board
    board.enter(Phase.WARMUP, bench.size)
    began_us = now_us()
    engine.submit(buffers[0])
    top = engine.collect()
    warm_us = now_us()
    board.enter(Phase.CHECKING, bench.size)
    parity = bench.check_once(buffers[0], top)
    checked_us = now_us()
    board.read()
    board.enter(Phase.STEADY, bench.size)
    for buffer in buffers[1:]:
        engine.submit(buffer)
    moments = [now_us()]
    look_at, said = 1, False
    while not (said and talk.is_spoken_to()):
        engine.submit(buffers[(len(moments) - 1) % len(buffers)])
        engine.collect()
        moments.append(now_us())
        board.step(len(moments) - 1, moments[-1])
        if said:
            continue
        said = moments[-1] - checked_us >= go.limit_us
        if len(moments) >= look_at:  # ever rarer: all steps after every step would take longer than the steps
            said = said or is_known([after - before for before, after in pairwise(moments)])
            look_at = len(moments) * 9 // 8 + 1
        if said:
            talk.say(Known(steps=len(moments) - 1))
    for _ in buffers[1:]:
        engine.collect()
    expect(talk.hear(), Stop)
    board.enter(Phase.WAITING, bench.size)
    return Point(
        size=bench.size,
        warmup_us=warm_us - began_us,
        check_us=checked_us - warm_us,
        disagreement=parity,
        started_us=moments[0],
        ended_us=tuple(moments[1:]),
        peak_mib=peak_mib(),
    )


def peak_mib(status: Path = Path("/proc/self/status")) -> int:
    """The most memory that this process ever held; unlike ru_maxrss, without what its parent held at the fork."""
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def main() -> None:
    """Talk until the profiler ends it."""
    talk = _private_talk()
    setup = expect(talk.hear(), Setup)
    if setup.cores is not None:
        os.sched_setaffinity(0, setup.cores)
    bench: Bench | None = None
    try:
        bench = Bench(setup, _board(setup))
        while True:
            _answer(bench, talk.hear(), talk)
    except Invalid as error:
        talk.say(Failed(field=error.field, message=error.message))
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        talk.say(NoMemory(size=bench.size if bench else 0))


def _answer(bench: Bench, message: Message, talk: Talk) -> None:
    """Do what is asked and say what came of it."""
    if isinstance(message, Build):
        talk.say(bench.build(message.size))
    elif isinstance(message, Go):
        talk.say(run_point(bench, message, talk))
    else:
        from dueby_profiler.measuring.contention import run_contention

        bench.board.enter(Phase.CONTENDING, bench.size)
        talk.say(run_contention(bench, expect(message, Contend)))


def _board(setup: Setup) -> Teller:
    """The page of whoever watches."""
    if setup.board is None:
        return Silent()
    from dueby_profiler.monitor.allocator import read_statistics

    return Writer(Board(setup.board), now_us=now_us, read_statistics=read_statistics)


def _private_talk() -> Talk:
    """Standard input and output as the talk's own ends; what libraries print goes to standard error instead."""
    writer = os.dup(1)
    os.dup2(2, 1)
    return Talk(reader=0, writer=writer)


def _is_out_of_memory(error: Exception) -> bool:
    """Libraries say it in a RuntimeError of their own: torch's allocators on CPU and GPU, OpenVINO's in C++."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(
        words in said for words in ("out of memory", "not enough memory", "can't allocate memory", "bad_alloc")
    )


if __name__ == "__main__":
    main()
