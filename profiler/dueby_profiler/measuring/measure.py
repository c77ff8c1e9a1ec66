"""A measuring process: `python -m dueby_profiler.measuring.measure`, one fresh process for each slice and round.

Up to its first mini-batch it does what a worker does, in the same order and with the same code. Then it runs
mini-batches of the sizes that the profiler asks for. It measures one thing at a time and decides nothing; the messages
are in `messages`.
"""

import os
import select
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_profiler.analysis.statistics import is_known
from dueby_profiler.measuring.bench import Bench, now_us
from dueby_profiler.measuring.messages import (
    Agree,
    Build,
    Contend,
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
from dueby_profiler.monitor.readers.status_page import NoReporter, Phase, StatusPage, StatusReporter, StatusWriter

# What libraries say in a RuntimeError: torch on CPU and GPU, OpenVINO's C++, cuDNN and cuBLAS.
_OUT_OF_MEMORY = (
    *("out of memory", "not enough memory", "can't allocate memory", "bad_alloc"),
    *("status_alloc_failed", "allocation_failed"),
)
# What cuDNN says of layers that it can't compute, and of those for which it finds no memory. If it has computed a
# mini-batch of another size, they can be computed.
_NO_ALGORITHM = ("unable to find an engine", "unable to find a valid cudnn algorithm")


class Channel:
    """The process's connection to the profiler, which can also be asked whether a message is waiting."""

    def __init__(self, *, reader: int, writer: int) -> None:
        self._reader, self._writer, self._received = reader, writer, b""

    def receive(self) -> Message:
        """Return the next message; end the process if the profiler is gone."""
        while b"\n" not in self._received:
            more = os.read(self._reader, 65_536)
            if not more:
                os._exit(0)  # at once: libraries may take seconds to tear down, and nobody waits for them
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        return read_message(line.decode())

    def has_message(self) -> bool:
        """Return whether a message, or the end of the profiler, is waiting to be received."""
        return b"\n" in self._received or bool(select.select([self._reader], [], [], 0)[0])

    def send(self, message: Message) -> None:
        """Send a message."""
        line = write_message(message).encode()
        while line:
            line = line[os.write(self._writer, line) :]


def run_point(bench: Bench, start: StartSteps, channel: Channel) -> Point:
    """Run the warm-up and then steady mini-batches until told to stop, `depth` of them in flight as in a worker."""
    engine, buffers, reporter = bench.ready_engine(), bench.buffers, bench.reporter
    reporter.enter(Phase.WARMUP, bench.size)
    began_us = now_us()
    engine.submit(buffers[0])
    top = engine.collect()
    warm_us = now_us()
    reporter.enter(Phase.CHECKING, bench.size)
    parity = bench.check_once(buffers[0], top)
    checked_us = now_us()
    reporter.read_allocator()
    reporter.enter(Phase.STEADY, bench.size)
    for buffer in buffers[1:]:
        engine.submit(buffer)
    moments = [now_us()]
    next_check, is_announced = 1, False
    # Once the mean is known the process goes on, so that its cores stay busy until every other process knows its own.
    while not (is_announced and channel.has_message()):
        engine.submit(buffers[(len(moments) - 1) % len(buffers)])
        engine.collect()
        moments.append(now_us())
        reporter.step(len(moments) - 1, moments[-1])
        if is_announced:
            continue
        is_announced = moments[-1] - checked_us >= start.limit_us
        if len(moments) >= next_check:
            is_announced = is_announced or is_enough([after - before for before, after in pairwise(moments)], start)
            # Ever more rarely: the check reads all steps, and after every step it would take longer than the steps do.
            next_check = len(moments) * 9 // 8 + 1
        if is_announced:
            channel.send(MeanKnown())
    for _ in buffers[1:]:
        engine.collect()
    expect(channel.receive(), StopSteps)
    reporter.enter(Phase.WAITING, bench.size)
    return Point(
        size=bench.size,
        warmup_us=warm_us - began_us,
        check_us=checked_us - warm_us,
        disagreement=parity,
        started_us=moments[0],
        ended_us=tuple(moments[1:]),
        peak_mib=peak_mib(),
        gpu_mib=bench.gpu_mib(),
    )


def is_enough(durations_us: Sequence[int], start: StartSteps) -> bool:
    """Return whether the mean of these steps is known, and they were as many and as long as they are to be at least."""
    is_least = len(durations_us) >= start.least_steps and sum(durations_us) >= start.least_us
    return is_least and is_known(durations_us)


def peak_mib(status: Path = Path("/proc/self/status")) -> int:
    """Return the most memory that this process ever held.

    VmHWM, unlike ru_maxrss, does not include what the parent process held at the fork.
    """
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


def main() -> None:
    """Answer the profiler's messages until it ends the process."""
    channel = _private_channel()
    setup = expect(channel.receive(), Setup)
    if setup.cores is not None:
        os.sched_setaffinity(0, setup.cores)
    bench: Bench | None = None
    try:
        bench = Bench(setup, _reporter(setup))
        while True:
            _answer(bench, channel.receive(), channel)
    except Invalid as error:
        channel.send(Failed(field=error.field, message=error.message))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error, has_run=bench is not None and bench.is_checked):
            raise
        channel.send(NoMemory(size=bench.size if bench else 0))


def _answer(bench: Bench, message: Message, channel: Channel) -> None:
    """Do what the message asks for and send the result."""
    if isinstance(message, Build):
        channel.send(bench.build(message.size))
    elif isinstance(message, StartSteps):
        channel.send(run_point(bench, message, channel))
    elif isinstance(message, Agree):
        from dueby_profiler.measuring.photos import compare_photos

        channel.send(compare_photos(bench, message))
    elif isinstance(message, MeasureDecoding):
        # Imported here, since it loads what reads and decodes images, which is not part of the start-up.
        from dueby_profiler.measuring.contention import run_decoding

        bench.reporter.enter(Phase.CONTENDING, bench.size)
        channel.send(run_decoding(bench, message))
    else:
        from dueby_profiler.measuring.contention import run_contention

        bench.reporter.enter(Phase.CONTENDING, bench.size)
        channel.send(run_contention(bench, expect(message, Contend)))


def _reporter(setup: Setup) -> StatusReporter:
    """Return what reports to the monitor's status page, or a reporter that does nothing if nobody watches."""
    if setup.status_page is None:
        return NoReporter()
    from dueby_profiler.monitor.readers.allocator import read_statistics

    return StatusWriter(StatusPage(setup.status_page), now_us=now_us, read_statistics=read_statistics)


def _private_channel() -> Channel:
    """Return a channel over standard input and output; what libraries print goes to standard error from now on."""
    writer = os.dup(1)
    os.dup2(2, 1)
    return Channel(reader=0, writer=writer)


def is_out_of_memory(error: Exception, *, has_run: bool) -> bool:
    """Return whether memory ran out. `has_run` says whether the process has run a mini-batch before."""
    text = str(error).lower()
    words = (*_OUT_OF_MEMORY, *(_NO_ALGORITHM if has_run else ()))
    return isinstance(error, MemoryError) or any(word in text for word in words)


if __name__ == "__main__":
    main()
