"""L, W and MB of several models: what the study's method gives for networks other than its own."""

from dueby_api.gpu_profile import GPUProfile, MeasuredStep
from dueby_api.schema import Spec
from dueby_profiler.profiling import profile_machine
from dueby_profiler.progress_listener import ProgressListener
from dueby_study.context import StudyContext
from dueby_study.measurements.profiles import COLUMNS, keep_profiles

STAGE = "models"
SUBJECT_STAGE = "subject"
DEFAULT = ("efficientnet_b0", "resnet50", "mobilenet_v3_large", "convnext_tiny", "vit_b_16")


class ModelRow(Spec, frozen=True, kw_only=True):
    """A row of the table of models."""

    model: str
    engine: str
    fastest: MeasuredStep
    """The measured size with the most images per second."""
    single_us: int
    """L of a single image."""
    warmup_us: int
    """W at the largest measured size."""
    warmup_size: int
    startup_us: int | None = None
    max_mini_batch_size: int | None = None
    extrapolated: bool
    busy: bool

    @property
    def images_per_second(self) -> float:
        """Throughput of one device."""
        return self.fastest.mini_batch_size * 1e6 / self.fastest.latency_micros.mean


def subject_points(context: StudyContext) -> list[str]:
    """Return a point for each layout."""
    return [layout.device_class for layout in context.layouts]


def measure_subject(context: StudyContext, point: str, listener: ProgressListener) -> None:
    """Profile the subject on one layout."""
    _profile(context, context.subject.name, device_class=point, stage=SUBJECT_STAGE, point=point, listener=listener)


def points(context: StudyContext) -> list[str]:
    """Return a point for each of the other models."""
    return [name for name in context.models if name != context.subject.name]


def measure(context: StudyContext, point: str, listener: ProgressListener) -> None:
    """Profile another model on the first layout."""
    _profile(context, point, device_class=context.layout.device_class, stage=STAGE, point=point, listener=listener)


def model_row(profile: GPUProfile) -> ModelRow:
    """Return the profile's row in the table."""
    spec = profile.spec
    last = spec.steps[-1]
    return ModelRow(
        model=spec.model.name,
        engine=spec.engine,
        fastest=max(spec.steps, key=lambda step: step.mini_batch_size / step.latency_micros.mean),
        single_us=spec.steps[0].latency_micros.mean,
        warmup_us=last.warmup_micros.p50 if last.warmup_micros else 0,
        warmup_size=last.mini_batch_size,
        startup_us=spec.startup_micros.p50 if spec.startup_micros else None,
        max_mini_batch_size=spec.max_mini_batch_size,
        extrapolated=spec.extrapolated,
        busy=spec.busy,
    )


def _profile(
    context: StudyContext, name: str, *, device_class: str, stage: str, point: str, listener: ProgressListener
) -> None:
    profiles = profile_machine(
        model=context.subject.replace(name=name),
        machine=context.machine,
        preset=context.preset.profile,
        classes=[device_class],
        listener=listener,
        cache_dir=context.cache_dir,
    )
    context.keep(stage, point, keep_profiles(context.folder, profiles), COLUMNS)
