"""The monitor of one run of the profiler: which processes it watches, and the files it writes.

    FOLDER/samples/NAME.parquet    a row for each sample and measuring process
    FOLDER/warmups/NAME.parquet    a row for each fresh process: the sample before its first mini-batch, and its W

Each folder is one table for any reader of Parquet. NAME is the device class, the model and the node. A run that fails
leaves no file, since half a run would look like a whole one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from dueby_api.classifiers import plain_name
from dueby_api.engines import EngineName
from dueby_api.inference_job import Model
from dueby_profiler.analysis.document import object_name
from dueby_profiler.machine import nvml
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.measuring.messages import Built, Contended, DecodingRates, Point
from dueby_profiler.measuring.process_group import ProcessGroup
from dueby_profiler.measuring.rounds import MeasuringGroup
from dueby_profiler.monitor.journal import Journal
from dueby_profiler.monitor.readers.host import Host
from dueby_profiler.monitor.sampler import Row
from dueby_profiler.monitor.tables import write_warmups
from dueby_profiler.monitor.warmup_rows import known_facts, open_sampled_group, warmup_row, weigh


class Monitor:
    """A context that writes down every process group that it watches."""

    def __init__(
        self,
        folder: Path,
        *,
        model: Model,
        node: str,
        clock: Callable[[], float],
        on_message: Callable[[str], None],
        period_s: float | None = None,
    ) -> None:
        """`period_s` is the time between two samples; None takes the shortest that is affordable."""
        self._folder, self._model, self._node, self._clock = folder, model, node, clock
        self._on_message = on_message
        self._period_s = period_s
        self._host = Host()
        self._stack = ExitStack()
        self._journals: dict[str, Journal] = {}
        self._problems: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._read_gpu = self._stack.enter_context(nvml.observe_gpus())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if kind is None:
            self._write()
        else:
            for journal in self._journals.values():
                journal.drop()

    @contextmanager
    def watch(
        self, open_group: Callable[[Sequence[int]], ProcessGroup], *, layout: Layout, engine: EngineName
    ) -> Iterator[MeasuringGroup]:
        """Open a process group and watch it until the context ends."""
        journal = self._journal(layout)
        facts = {"device_class": layout.device_class, "engine": engine, "round": journal.rounds[engine]}
        journal.rounds[engine] += 1
        sampled_group = open_sampled_group(
            open_group, layout=layout, host=self._host, read_gpu=self._read_gpu, clock=self._clock, facts=facts
        )
        with ExitStack() as stack:
            group, sampler = stack.enter_context(sampled_group)
            stack.enter_context(journal.sampled(sampler))
            yield _WatchedGroup(group, take_sample=lambda: journal.take_sample(sampler), warmups=journal.warmups)
            self._problems |= sampler.problems

    def _journal(self, layout: Layout) -> Journal:
        device_class, model = layout.device_class, self._model
        if device_class not in self._journals:
            name = object_name(
                [device_class, plain_name(model.name), str(model.image_size), model.precision, self._node]
            )
            self._journals[device_class] = Journal(
                self._folder, name, layout=layout, clock=self._clock, period_s=self._period_s
            )
        return self._journals[device_class]

    def _write(self) -> None:
        weight = weigh(self._model)
        for journal in self._journals.values():
            facts = known_facts(layout=journal.layout, node=self._node, model=self._model, weight=weight)
            self._on_message(journal.sentence)
            path = journal.close()
            self._on_message(f"Written: {path}")
            rows = [row | facts for row in journal.warmups]
            self._on_message(f"Written: {write_warmups(self._folder / 'warmups' / path.name, rows)}")
        for uuid, problem in self._problems.items():
            self._on_message(f"The monitor could not always read the GPU {uuid}: {problem}.")


class _WatchedGroup:
    """A process group of which a sample is taken right before its first mini-batch."""

    def __init__(self, group: ProcessGroup, *, take_sample: Callable[[], list[Row]], warmups: list[Row]) -> None:
        self._group, self._take_sample, self._warmups = group, take_sample, warmups
        self._built: Sequence[Built] = ()
        self._is_fresh = True

    def build(self, size: int) -> list[Built]:
        """Let every process build its engine for this size."""
        built = self._group.build(size)
        self._built = built
        return built

    def run(self, limit_s: float, at_end: Callable[[], None] | None = None) -> list[Point]:
        """Let every process run mini-batches; the first time, keep what was known before as a row of warm-ups."""
        if not self._is_fresh:
            return self._group.run(limit_s, at_end)
        self._is_fresh = False
        before = self._take_sample()
        points = self._group.run(limit_s, at_end)
        self._warmups += map(warmup_row, before, self._built, points)
        return points

    def contend(self, phase_s: float, folder: Path) -> list[Contended]:
        """Let every process decode, run its model, and do both."""
        return self._group.contend(phase_s, folder)

    def decode(self, phase_s: float, cores: Sequence[int], folder: Path) -> list[DecodingRates]:
        """Let every process decode with so many cores each."""
        return self._group.decode(phase_s, cores, folder)
