"""The monitor of one run of the profiler: which processes are watched, and the files that come of it.

    FOLDER/samples/NAME.parquet    a row for each look and measuring process
    FOLDER/warmups/NAME.parquet    a row for each fresh process: the look before its first mini-batch, and its W

Each folder is a table that any reader of Parquet takes whole; NAME is the device class, the model and the node. Nothing
is left of a run that fails.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from dueby_api.engines import EngineName
from dueby_api.inference_job import Model
from dueby_profiler.analysis.document import object_name
from dueby_profiler.machine import nvml
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.measuring.messages import Built, Contended, Point
from dueby_profiler.measuring.process_group import Crew
from dueby_profiler.measuring.rounds import Measuring
from dueby_profiler.monitor.first_look import follow, known_facts, warmup_row
from dueby_profiler.monitor.host import Host
from dueby_profiler.monitor.journal import Journal
from dueby_profiler.monitor.model_facts import weigh
from dueby_profiler.monitor.samples import Row
from dueby_profiler.monitor.tables import write_warmups


class Monitor:
    """A context in which every crew that is watched is written down."""

    def __init__(
        self,
        folder: Path,
        *,
        model: Model,
        node: str,
        clock: Callable[[], float],
        tell: Callable[[str], None],
        period_s: float | None = None,
    ) -> None:
        """`period_s` between two looks; None: as short as they are affordable."""
        self._folder, self._model, self._node, self._clock, self._tell = folder, model, node, clock, tell
        self._period_s = period_s
        self._host = Host()
        self._stack = ExitStack()
        self._journals: dict[str, Journal] = {}
        self._troubles: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._ask_gpu = self._stack.enter_context(nvml.observe())
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
        self, open_crew: Callable[[Sequence[int]], Crew], *, layout: Layout, engine: EngineName
    ) -> Iterator[Measuring]:
        """The crew while it is watched, as profiling.Watching says."""
        journal = self._journal(layout)
        facts = {"device_class": layout.device_class, "engine": engine, "round": journal.rounds[engine]}
        journal.rounds[engine] += 1
        with ExitStack() as stack:
            crew, looks = stack.enter_context(
                follow(open_crew, layout=layout, host=self._host, ask_gpu=self._ask_gpu, clock=self._clock, facts=facts)
            )
            stack.enter_context(journal.sampled(looks))
            yield _WatchedCrew(crew, look=lambda: journal.look(looks), warmups=journal.warmups)
            self._troubles |= looks.troubles

    def _journal(self, layout: Layout) -> Journal:
        device_class, model = layout.device_class, self._model
        if device_class not in self._journals:
            name = object_name([device_class, model.name, str(model.image_size), model.precision, self._node])
            self._journals[device_class] = Journal(
                self._folder, name, layout=layout, clock=self._clock, period_s=self._period_s
            )
        return self._journals[device_class]

    def _write(self) -> None:
        weight = weigh(self._model)
        for journal in self._journals.values():
            facts = known_facts(layout=journal.layout, node=self._node, model=self._model, weight=weight)
            self._tell(journal.sentence)
            path = journal.close()
            self._tell(f"Written: {path}")
            rows = [row | facts for row in journal.warmups]
            self._tell(f"Written: {write_warmups(self._folder / 'warmups' / path.name, rows)}")
        for uuid, trouble in self._troubles.items():
            self._tell(f"The monitor lost sight of the GPU {uuid}: {trouble}.")


class _WatchedCrew:
    """A crew; there is a look right before its first mini-batch."""

    def __init__(self, crew: Crew, *, look: Callable[[], list[Row]], warmups: list[Row]) -> None:
        self._crew, self._look, self._warmups = crew, look, warmups
        self._built: Sequence[Built] = ()
        self._is_fresh = True

    def build(self, size: int) -> list[Built]:
        """As Measuring says."""
        built = self._crew.build(size)
        self._built = built
        return built

    def run(self, limit_s: float) -> list[Point]:
        """As Measuring says."""
        if not self._is_fresh:
            return self._crew.run(limit_s)
        self._is_fresh = False
        before = self._look()
        points = self._crew.run(limit_s)
        self._warmups += map(warmup_row, before, self._built, points)
        return points

    def contend(self, phase_s: float, folder: Path) -> list[Contended]:
        """As Measuring says."""
        return self._crew.contend(phase_s, folder)
