"""L, W and MB of several models: the table of what the study's method gives for other networks than its own."""

from dueby_api.gpu_profile import GPUProfile, Step
from dueby_api.schema import Spec
from dueby_profiler.profiling import profile_machine
from dueby_profiler.progress_listener import Audience
from dueby_study.context import Lab
from dueby_study.measurements.profiles import COLUMNS, keep_profiles

STAGE = "models"
SUBJECT_STAGE = "subject"
DEFAULT = ("efficientnet_b0", "resnet50", "mobilenet_v3_large", "convnext_tiny", "vit_b_16")


class Line(Spec, frozen=True, kw_only=True):
    """A line of the table."""

    model: str
    engine: str
    fastest: Step
    """Of the sizes measured, that with the most images a second."""
    single_us: int
    """L of one image."""
    warmup_us: int
    """W at the largest size measured."""
    warmup_size: int
    startup_us: int | None = None
    max_mini_batch_size: int | None = None
    extrapolated: bool
    busy: bool

    @property
    def images_per_second(self) -> float:
        """Of one device."""
        return self.fastest.mini_batch_size * 1e6 / self.fastest.latency_micros.mean


def subject_points(lab: Lab) -> list[str]:
    """The subject on each layout."""
    return [layout.device_class for layout in lab.layouts]


def measure_subject(lab: Lab, point: str, audience: Audience) -> None:
    """Profile the subject on one layout."""
    _profile(lab, lab.subject.name, device_class=point, stage=SUBJECT_STAGE, point=point, audience=audience)


def points(lab: Lab) -> list[str]:
    """The other models."""
    return [name for name in lab.models if name != lab.subject.name]


def measure(lab: Lab, point: str, audience: Audience) -> None:
    """Profile another model on the first layout."""
    _profile(lab, point, device_class=lab.layout.device_class, stage=STAGE, point=point, audience=audience)


def line_of(profile: GPUProfile) -> Line:
    """The profile's line."""
    spec = profile.spec
    last = spec.steps[-1]
    return Line(
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


def _profile(lab: Lab, name: str, *, device_class: str, stage: str, point: str, audience: Audience) -> None:
    profiles = profile_machine(
        model=lab.subject.replace(name=name),
        machine=lab.machine,
        effort=lab.effort.profile,
        classes=[device_class],
        audience=audience,
        cache_dir=lab.cache_dir,
    )
    lab.keep(stage, point, keep_profiles(lab.folder, profiles), COLUMNS)
