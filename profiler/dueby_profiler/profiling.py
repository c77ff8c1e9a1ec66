"""Profile this machine: of each layout the fastest engine, measured in full.

The other engines of a layout are left out after a brief look. Whatever is left out, or in doubt, is told.
"""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_profiler.analysis.document import Facts, build_profile
from dueby_profiler.analysis.memory import largest
from dueby_profiler.analysis.remarks import remarks
from dueby_profiler.machine.interference import BUSY_CORES, foreign_cores, read_times
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.machine import Machine, software_versions
from dueby_profiler.measuring.budget import Budget
from dueby_profiler.measuring.choices import Choice, choose, shorten
from dueby_profiler.measuring.process_group import Crew, OutOfMemory
from dueby_profiler.measuring.rounds import Measuring, Subject, Survey, look
from dueby_profiler.measuring.start_group import start_crew
from dueby_profiler.presets import Effort
from dueby_profiler.progress_listener import Audience, Progress

# Engines are compared at the largest size explored up to this one: past the knee of CPUs and near that of GPUs.
_COMPARED_UP_TO = 64
# A look at another engine may take this much of the time left; the rest is for measuring.
_COMPARE_SHARE = 0.4
_ENGINE_FIELD = "spec.model.engine"


class Watching(Protocol):
    """Whoever watches the measuring processes, as the monitor does."""

    def watch(
        self, open_crew: Callable[[Sequence[int]], Crew], *, layout: Layout, engine: EngineName
    ) -> AbstractContextManager[Measuring]:
        """The crew while it is watched; it is opened with the descriptors of the pages that its processes write on."""


def profile_machine(
    *,
    model: Model,
    machine: Machine,
    effort: Effort,
    classes: Sequence[str] = (),
    audience: Audience | None = None,
    cache_dir: Path | None = None,
    monitor: Watching | None = None,
) -> list[GPUProfile]:
    """Measure every layout, or those of the named classes; Invalid where there is nothing to measure with.

    `cache_dir` keeps compiled models; by default it is a folder that goes away afterwards. `monitor` sees every
    process that measures.
    """
    audience = audience or Audience()
    choices = choose(machine.layouts, model, classes)
    if not (effort.all_layouts or classes):
        choices, left_out = shorten(choices)
        for choice in left_out:
            audience.tell(f"{choice.layout.device_class} is left out, for time.")
    whole = Budget.starting(effort.layout_s * len(choices), machine.clock)
    profiles: list[GPUProfile] = []
    with tempfile.TemporaryDirectory(prefix="dueby-profile-") as temporary:
        for index, choice in enumerate(choices):
            study = _Study(
                machine=machine,
                model=model,
                effort=effort,
                choice=choice,
                cache_dir=cache_dir or Path(temporary),
                folder=Path(temporary) / "pictures",
                audience=audience,
                whole=whole,
                later=len(choices) - index - 1,
                monitor=monitor,
            )
            try:
                profiles += study.profiles()
            except OutOfMemory as error:
                audience.tell(f"{choice.layout.device_class} is left out: {error}.")
    if not profiles:
        raise Invalid("this machine", f"has too little memory for {model.name}")
    return profiles


@dataclass(frozen=True, kw_only=True)
class _Study:
    """The measuring of one layout."""

    machine: Machine
    model: Model
    effort: Effort
    choice: Choice
    cache_dir: Path
    folder: Path
    audience: Audience
    whole: Budget
    """Of this layout and those after it."""
    later: int
    """Layouts after this one."""
    monitor: Watching | None

    def profiles(self) -> list[GPUProfile]:
        """The profile of the layout, or one for each of its GPUs."""
        machine, layout = self.machine, self.choice.layout
        watched = machine.limits.cores
        used = machine.is_gpu_used(layout)
        before = read_times(watched, clock=machine.clock)
        survey = self._measure(self.whole.share(1 / (1 + self.later)))
        foreign = foreign_cores(before, read_times(watched, clock=machine.clock))
        busy = used or foreign > machine.spare_cores + BUSY_CORES
        if busy:
            what = "one of its GPUs" if used else f"{foreign:.1f} cores"
            self.audience.tell(
                f"Warning: something else used {what} while {layout.device_class} was measured. Its profile says so "
                "(busy: true); measure again when the machine is quiet."
            )
        for clause in remarks(survey.found, end=survey.end, rounds_left_out=survey.rounds_left_out):
            self.audience.tell(f"{layout.device_class}: {clause}.")
        if survey.disagreement:
            self.audience.tell(f"Warning: {layout.device_class}: {survey.subject.engine} {survey.disagreement}.")
        return self._documents(survey, busy=busy)

    def _measure(self, budget: Budget) -> Survey:
        """Explore the likely fastest engine that runs, look whether another is faster, measure the fastest in full."""
        explored, others = self._explore_first(budget, self.choice.engines)
        fastest = self._fastest(explored, others) if others else explored.subject.engine
        if fastest != explored.subject.engine:
            explored = self._survey(fastest, budget)
            explored.explore()
        explored.measure()
        return explored

    def _explore_first(self, budget: Budget, engines: Sequence[EngineName]) -> tuple[Survey, Sequence[EngineName]]:
        """The first engine that runs here, explored, and those after it; Invalid where none does."""
        survey = self._survey(engines[0], budget)
        try:
            survey.explore()
        except Invalid as error:
            if error.field != _ENGINE_FIELD or len(engines) == 1:
                raise
            self._leave_out(engines[0], error.message)
            return self._explore_first(budget, engines[1:])
        return survey, engines[1:]

    def _fastest(self, explored: Survey, others: Sequence[EngineName]) -> EngineName:
        """The engine that does the most images a second at one size."""
        name, found = self.choice.layout.device_class, explored.found
        size = max(size for size in found.sizes if size <= _COMPARED_UP_TO)
        rates = {explored.subject.engine: len(self.choice.layout.slices) * found.images_per_second(size)}
        look_s = self.effort.compare_s + max(found.rough_startups_us) / 1e6
        for engine in others:
            if look_s > _COMPARE_SHARE * explored.budget.left_s:
                self._leave_out(engine, "there was no time for it")
                continue
            self._say(f"comparing engines: {engine}", explored.budget.left_s)
            try:
                rates[engine] = look(self._subject(engine), size=size, seconds=self.effort.compare_s)
            except Invalid as error:
                if error.field != _ENGINE_FIELD:
                    raise
                self._leave_out(engine, error.message)
        best = max(rates, key=lambda engine: rates[engine])
        if len(rates) > 1:
            seen = ", ".join(f"{engine} {rate:,.0f}" for engine, rate in rates.items())
            self.audience.tell(f"{name}: {best} is the fastest; images/s with mini-batches of {size}: {seen}.")
        return best

    def _leave_out(self, engine: EngineName, reason: str) -> None:
        self.audience.tell(f"{self.choice.layout.device_class}: {engine} is left out: {reason}.")

    def _survey(self, engine: EngineName, budget: Budget) -> Survey:
        return Survey(subject=self._subject(engine), effort=self.effort, budget=budget, say=self._say)

    def _subject(self, engine: EngineName) -> Subject:
        layout, clock = self.choice.layout, self.machine.clock

        def open_crew(boards: Sequence[int] = ()) -> Crew:
            return start_crew(
                layout, lambda _: self.model, engine, cache_dir=self.cache_dir, clock=clock, boards=boards
            )

        def open_watched() -> AbstractContextManager[Measuring]:
            monitor = self.monitor
            return open_crew() if monitor is None else monitor.watch(open_crew, layout=layout, engine=engine)

        return Subject(
            layout=layout,
            engine=engine,
            open_crew=open_watched,
            usable_mib=self.machine.usable_mib(layout),
            peaks_mib=lambda points: self.machine.peaks_mib(layout, points),
            folder=self.folder,
            clock=clock,
        )

    def _documents(self, survey: Survey, *, busy: bool) -> list[GPUProfile]:
        devices = self.machine.devices(self.choice.layout)
        profiles = []
        for number, device in enumerate(devices):
            found = survey.found if len(devices) == 1 else survey.found.of_device(number, len(devices))
            facts = Facts(
                device_class=self.choice.layout.device_class,
                model=self.model,
                engine=survey.subject.engine,
                device=device,
                software=software_versions(),
                measured_at=datetime.now(UTC),
                busy=busy,
            )
            peaks = {size: max(peaks) for size, peaks in found.peak_mib.items()}
            mb = largest(found.sizes, peaks, survey.subject.usable_mib, failed=survey.failed_size)
            profiles.append(build_profile(found, facts, mb))
        return profiles

    def _say(self, doing: str, left_s: float) -> None:
        left_s = min(self.whole.left_s, left_s + self.later * self.effort.layout_s)
        self.audience.progress(Progress(doing=f"{self.choice.layout.device_class}: {doing}", left_s=left_s))
