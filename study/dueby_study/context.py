"""What every stage of a study works with: the machine's devices, the model, and fresh processes on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dueby_api.engines import EngineName
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_profiler.machine.layouts import Layout
from dueby_profiler.machine.machine import Machine
from dueby_profiler.measuring.choices import choose
from dueby_profiler.measuring.process_group import ProcessGroup, start_group
from dueby_profiler.progress_listener import ProgressListener
from dueby_study.measurements.profiles import read_profiles
from dueby_study.presets import StudyPreset
from dueby_study.row_store import Row, RowColumn, RowStore


@dataclass(frozen=True, kw_only=True)
class StudyContext:
    """The machine, the models, and the folder of a study."""

    folder: Path
    machine: Machine
    subject: Model
    """The model that the figures are about."""
    models: tuple[str, ...]
    """The models of the table, including the subject."""
    preset: StudyPreset
    row_store: RowStore
    cache_dir: Path
    """Folder that keeps compiled models."""
    listener: ProgressListener

    @property
    def layouts(self) -> list[Layout]:
        """The devices that a plan would use: the GPUs if there are any, otherwise the cores, cut in each
        possible way.
        """
        runnable = [choice.layout for choice in choose(self.machine.layouts, self.subject, ())]
        # On a machine with GPUs, no plan would use its cores.
        gpus = [layout for layout in runnable if layout.is_gpu]
        return gpus or runnable

    @property
    def layout(self) -> Layout:
        """The layout that most stages measure."""
        return self.layouts[0]

    def profile(self) -> GPUProfile:
        """Return the subject's profile on that layout. The first stage measures it, before any stage that needs it."""
        profiles = self.profiles(self.subject.name)
        return next(profile for profile in profiles if profile.spec.device_class == self.layout.device_class)

    def profiles(self, *names: str) -> list[GPUProfile]:
        """Return the profiles measured of these models."""
        return [profile for profile in read_profiles(self.folder) if profile.spec.model.name in names]

    def keep(self, stage: str, point: str, rows: Sequence[Row], columns: Iterable[RowColumn]) -> None:
        """Write a point's rows."""
        self.row_store.keep(stage, point, rows, tuple(columns))

    def group(self, layout: Layout, engine: EngineName) -> ProcessGroup:
        """Return fresh processes with the subject, one on each of the layout's devices."""
        return start_group(layout, lambda _: self.subject, engine, cache_dir=self.cache_dir, clock=self.machine.clock)
