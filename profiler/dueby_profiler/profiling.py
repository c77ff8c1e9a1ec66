"""Profile this machine: for each layout, find the fastest engine and measure it in full.

The other engines of a layout get a short comparison only, because measuring them in full would double the time and no
plan would use them. Whatever is left out or is in doubt is reported as a message.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from dueby_api.agreement import Agreement
from dueby_api.engines import EngineName
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_api.source import Source
from dueby_profiler.analysis.document import Facts, build_profile
from dueby_profiler.analysis.remarks import describe_heat, describe_name, remarks
from dueby_profiler.machine.interference import BUSY_CORES, advice, read_times
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.machine import Machine, software_versions
from dueby_profiler.measuring.budget import Budget
from dueby_profiler.measuring.choices import LayoutChoice, choose, shorten, why_unusable
from dueby_profiler.measuring.comparison import EngineComparison, compared_size, fastest
from dueby_profiler.measuring.photos import PhotoList, list_photos
from dueby_profiler.measuring.process_group import Crashed, OutOfMemory, ProcessGroup, start_group
from dueby_profiler.measuring.rounds import MeasuringGroup, MeasuringTarget, Survey
from dueby_profiler.measuring.sweep import SweepEnd
from dueby_profiler.presets import Preset
from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate
from dueby_worker.system.temporary_files import scratch_folder


class Watcher(Protocol):
    """Something that watches the measuring processes while they work, such as the monitor."""

    def watch(
        self, open_group: Callable[[Sequence[int]], ProcessGroup], *, layout: Layout, engine: EngineName
    ) -> AbstractContextManager[MeasuringGroup]:
        """Open a process group and watch it until the context ends.

        `open_group` takes the file descriptors of the status pages on which the processes report, one for each.
        """


def profile_machine(
    *,
    model: Model,
    machine: Machine,
    preset: Preset,
    classes: Sequence[str] = (),
    listener: ProgressListener | None = None,
    cache_dir: Path | None = None,
    monitor: Watcher | None = None,
    source: Source | None = None,
) -> list[GPUProfile]:
    """Measure every layout, or those of the named classes; raise Invalid if there is nothing to measure with.

    `cache_dir` keeps compiled models, for workers, too. Without it S is that of workers that compile for themselves.
    `monitor` watches every measuring process. `source` has the photos on which another precision than fp32 is compared
    with it.
    """
    listener = listener or ProgressListener()
    choices = choose(machine.layouts, model, classes, gpu_build_s=preset.gpu_build_s)
    if not (preset.all_layouts or classes):
        choices, left_out = shorten(choices)
        for choice in left_out:
            listener.on_message(f"{choice.layout.device_class} is left out to save time.")
    profiles: list[GPUProfile] = []
    presets = [preset.on(gpu=choice.layout.is_gpu, engines=choice.engines) for choice in choices]
    seconds = [effort.layout_s for effort in presets]
    with scratch_folder("profile") as temporary:
        kept = cache_dir or temporary
        photos = list_photos(model, source, temporary / "photos", listener.on_message)
        if model.precision == "int8":
            # The network is made once and kept. It would take most of a layout's time.
            listener.on_progress(ProgressUpdate(doing="quantizing", left_s=sum(seconds)))
            with _one_process(choices[0].layout, model, choices[0].engines[0], kept, machine) as group:
                group.build(1)
        total_budget = Budget.starting(sum(seconds), machine.clock)
        for index, choice in enumerate(choices):
            profiler = _LayoutProfiler(
                machine=machine,
                model=model,
                preset=presets[index],
                choice=choice,
                cache_dir=kept,
                starts_empty=cache_dir is None,
                folder=temporary / "pictures",
                listener=listener,
                total_budget=total_budget,
                after_s=sum(seconds[index + 1 :]),
                monitor=monitor,
                photos=photos,
            )
            try:
                profiles += profiler.profiles()
            except OutOfMemory as error:
                # Smaller slices have less memory each: another layout may still be large enough.
                listener.on_message(f"{choice.layout.device_class} is left out: {error}.")
    if not profiles:
        raise Invalid("this machine", f"has too little memory for {model.name}, even for mini-batches of one image")
    return profiles


@dataclass(frozen=True, kw_only=True)
class _LayoutProfiler:
    """Profiles one layout."""

    machine: Machine
    model: Model
    preset: Preset
    choice: LayoutChoice
    cache_dir: Path
    starts_empty: bool
    """Whether workers have no cache folder in common, so that the first engine of each process finds nothing in it."""
    folder: Path
    listener: ProgressListener
    total_budget: Budget
    """The time of this layout and of those after it."""
    after_s: float
    """Seconds for the layouts that come after this one."""
    monitor: Watcher | None
    photos: PhotoList | None

    def profiles(self) -> list[GPUProfile]:
        """Return the layout's profile, or one profile for each of its GPUs."""
        machine, layout = self.machine, self.choice.layout
        used = machine.is_gpu_used(layout)
        survey = self._measure(self.total_budget.share(self.preset.layout_s / (self.preset.layout_s + self.after_s)))
        groups = survey.groups
        busy = used or groups.is_disturbed
        if busy:
            what = "one of its GPUs" if used else f"up to {groups.disturbance:.1f} cores"
            # A profile of a busy machine is kept: it may be the only one to be had, and plans made from it say so.
            self.listener.on_message(
                f"Warning: other programs used {what} while {layout.device_class} was measured. Its profile is "
                f"marked busy: true; measure again when the machine is idle.{advice()}"
            )
        for clause in remarks(groups, end=survey.end, crash=survey.crash):
            self.listener.on_message(f"{layout.device_class}: {clause}.")
        if survey.disagreement:
            self.listener.on_message(f"Warning: {layout.device_class}: {survey.target.engine} {survey.disagreement}.")
        return self._documents(survey, busy=busy, agreement=self._compare_photos(survey))

    def _measure(self, budget: Budget) -> Survey:
        """Explore the engine that is likely the fastest, compare the others with it, and measure the fastest one in
        full.
        """
        explored, comparison = self._explore_first(budget, self.choice.engines)
        fastest = self._fastest(explored, comparison)
        if fastest != explored.target.engine:
            # What was explored is of another engine: the sizes have to be grown again.
            explored = self._survey(fastest, budget)
            explored.explore()
        explored.measure()
        return explored

    def _explore_first(self, budget: Budget, engines: Sequence[EngineName]) -> tuple[Survey, EngineComparison]:
        """Explore the first engine that runs here, and begin to compare it with the engines after it. Raise Invalid if
        none runs.
        """
        survey = self._survey(engines[0], budget)
        comparison = EngineComparison(
            others=engines[1:],
            open_target=self._target,
            seconds=self.preset.compare_s,
            takes_turns=self.monitor is None,
            on_phase=self._report,
            on_left_out=self._leave_out,
        )
        try:
            survey.explore(lambda group, peak_mib: comparison.take_turns(survey, group, peak_mib))
        except (Invalid, Crashed) as error:
            # Only a process that tries to build an engine finds out whether it runs here.
            if (reason := why_unusable(error)) is None or len(engines) == 1:
                raise
            self._leave_out(engines[0], reason)
            return self._explore_first(budget, engines[1:])
        return survey, comparison

    def _fastest(self, explored: Survey, comparison: EngineComparison) -> EngineName:
        """Return the engine that classifies the most images per second at one size."""
        rates = comparison.rates(explored)
        best = fastest(rates)
        if len(rates) > 1:
            name, size = self.choice.layout.device_class, compared_size(explored.found)
            measured = ", ".join(f"{engine} {rate:,.0f}" for engine, rate in rates.items())
            self.listener.on_message(
                f"{name}: {best} is the fastest engine; images/s at mini-batch size {size}: {measured}."
            )
        return best

    def _leave_out(self, engine: EngineName, reason: str) -> None:
        self.listener.on_message(f"{self.choice.layout.device_class}: {engine} is left out: {reason}.")

    def _survey(self, engine: EngineName, budget: Budget) -> Survey:
        return Survey(target=self._target(engine), preset=self.preset, budget=budget, on_phase=self._report)

    def _target(self, engine: EngineName) -> MeasuringTarget:
        layout, clock = self.choice.layout, self.machine.clock

        def open_group(status_pages: Sequence[int] = ()) -> ProcessGroup:
            return start_group(
                layout,
                lambda _: self.model,
                engine,
                cache_dir=self.cache_dir,
                starts_empty=self.starts_empty,
                clock=clock,
                status_pages=status_pages,
            )

        def open_watched() -> AbstractContextManager[MeasuringGroup]:
            monitor = self.monitor
            return open_group() if monitor is None else monitor.watch(open_group, layout=layout, engine=engine)

        return MeasuringTarget(
            layout=layout,
            engine=engine,
            open_group=open_watched,
            usable_mib=self.machine.usable_mib(layout),
            gpu_states=lambda: self.machine.gpu_states(layout),
            usable_host_mib=self.machine.usable_host_mib(layout),
            folder=self.folder,
            clock=clock,
            read_times=lambda: read_times(self.machine.limits.cores, clock=clock),
            allowed_cores=self.machine.spare_cores + BUSY_CORES,
        )

    def _compare_photos(self, survey: Survey) -> Agreement | None:
        """Return how far the engine is from plain fp32 on photos; None if there are none, or none can be read."""
        if self.photos is None:
            return None
        self._report("comparing photos with fp32", self.total_budget.left_s)
        layout, engine = self.choice.layout, survey.target.engine
        try:
            with _one_process(layout, self.model, engine, self.cache_dir, self.machine) as group:
                agreement = self.photos.compare(group, survey.found.sizes)
            reason = "none of the photos could be read"
        except (Invalid, OutOfMemory) as error:
            agreement, reason = None, str(error)
        if agreement is None:
            self.listener.on_message(
                f"How far {self.model.precision} is from fp32 on {layout.device_class} is not measured: {reason}."
            )
        return agreement

    def _documents(self, survey: Survey, *, busy: bool, agreement: Agreement | None) -> list[GPUProfile]:
        layout, found = self.choice.layout, survey.groups.counted_by_profile
        devices, names = self.machine.devices(layout), self.machine.other_names(layout)
        states = survey.gpu_states or [{}] * len(devices)
        profiles = []
        for device, name, measurements, state in zip(devices, names, found, states, strict=True):
            remarks_on_gpu = (*describe_name(name), *describe_heat(state, measurements.heat))
            for clause in remarks_on_gpu:
                self.listener.on_message(f"{self.choice.layout.device_class}: {clause}.")
            facts = Facts(
                device_class=self.choice.layout.device_class,
                model=self.model,
                engine=survey.target.engine,
                device=device,
                software=software_versions(),
                measured_at=datetime.now(UTC),
                busy=busy,
                agreement=agreement,
                cut_short=survey.end in (SweepEnd.TIME, SweepEnd.CRASH),
                remarks=remarks_on_gpu,
            )
            profiles.append(build_profile(measurements, facts, survey.largest(measurements)))
        return profiles

    def _report(self, doing: str, left_s: float) -> None:
        left_s = min(self.total_budget.left_s, left_s + self.after_s)
        self.listener.on_progress(ProgressUpdate(doing=f"{self.choice.layout.device_class}: {doing}", left_s=left_s))


def _one_process(layout: Layout, model: Model, engine: EngineName, cache_dir: Path, machine: Machine) -> ProcessGroup:
    """Return a context in which a process is on the layout's first device alone."""
    one = replace(layout, slices=layout.slices[:1])
    return start_group(one, lambda _: model, engine, cache_dir=cache_dir, clock=machine.clock)
