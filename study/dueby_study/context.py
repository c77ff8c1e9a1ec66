"""What every stage of a study measures with: the machine's devices, the model, and fresh processes on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dueby_api.engines import EngineName
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.machine import Machine
from dueby_profiler.measuring.choices import choose
from dueby_profiler.measuring.process_group import Crew
from dueby_profiler.measuring.start_group import start_crew
from dueby_profiler.progress_listener import Audience
from dueby_study.measurements.profiles import read_profiles
from dueby_study.presets import StudyEffort
from dueby_study.row_store import Column, Notebook, Row


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A study's equipment."""

    folder: Path
    machine: Machine
    subject: Model
    """The model of the figures."""
    models: tuple[str, ...]
    """The models of the table, the subject among them."""
    effort: StudyEffort
    notebook: Notebook
    cache_dir: Path
    """Where compiled models are kept."""
    audience: Audience

    @property
    def layouts(self) -> list[Layout]:
        """The devices that a plan would use: the GPUs where there are any, or else the cores, cut in each way."""
        runnable = [choice.layout for choice in choose(self.machine.layouts, self.subject, ())]
        gpus = [layout for layout in runnable if layout.is_gpu]
        return gpus or runnable

    @property
    def layout(self) -> Layout:
        """The one that most is measured on."""
        return self.layouts[0]

    def profile(self) -> GPUProfile:
        """The subject's on that layout; it is measured before anything that asks for it."""
        found = self.profiles(self.subject.name)
        return next(profile for profile in found if profile.spec.device_class == self.layout.device_class)

    def profiles(self, *names: str) -> list[GPUProfile]:
        """Those that were measured of these models."""
        return [profile for profile in read_profiles(self.folder) if profile.spec.model.name in names]

    def keep(self, stage: str, point: str, rows: Sequence[Row], columns: Iterable[Column]) -> None:
        """Write a point's rows."""
        self.notebook.keep(stage, point, rows, tuple(columns))

    def crew(self, layout: Layout, engine: EngineName) -> Crew:
        """Fresh processes with the subject, one on each of the layout's devices."""
        return start_crew(layout, lambda _: self.subject, engine, cache_dir=self.cache_dir, clock=self.machine.clock)
