"""GPUProfile: the measured latency, warm-up, memory and start-up of a device class for one model, size and precision.

The same document everywhere: written by the profiler, kept as a file or as a cluster's object, read by the planner.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from dueby_api.inference_job import EngineName, Precision
from dueby_api.schema import Meta, Spec, Time, field, require_offset, validate

Micros = Annotated[int, Meta(ge=0, le=10**15)]
FitKind = Literal["hinge", "affine", "spline"]
# The engine decides on which device it runs, never the name of the device class.
CPU_ENGINES = frozenset({"eager", "openvino", "compile"})


class Latency(Spec, frozen=True, kw_only=True):
    """Time of a steady mini-batch in microseconds."""

    mean: Annotated[int, Meta(ge=1, le=10**15)]
    """L: what a step costs on average. The planner uses the mean, since over many steps the mean is what adds up."""
    p50: Micros | None = None
    """The median."""
    p90: Micros | None = None
    """The 90th percentile."""
    p95: Micros | None = None
    """The 95th percentile."""


class Quantiles(Spec, frozen=True, kw_only=True):
    """A time that is measured once a process, in microseconds."""

    p50: Micros
    """The median: what to expect."""
    p95: Micros
    """The 95th percentile: what a plan at a confidence of 0.95 counts on."""

    def __post_init__(self) -> None:
        if self.p95 < self.p50:
            raise ValueError(f"p95: {self.p95} is below the median, {self.p50}")


class Step(Spec, frozen=True, kw_only=True):
    """What was measured at one mini-batch size."""

    mini_batch_size: Annotated[int, Meta(ge=1, le=10**6)]
    """Images in a mini-batch."""
    samples: Annotated[int, Meta(ge=1)] | None = None
    """Steady steps measured, over all processes."""
    latency_micros: Latency
    """L."""
    warmup_micros: Quantiles | None = None
    """W, the first mini-batch of a process. Where it is missing the next larger size's counts."""
    memory_mib: Annotated[int, Meta(ge=0)] | None = field(default=None, name="memoryMiB")
    """Peak memory in MiB."""


class Spread(Spec, frozen=True, kw_only=True):
    """Relative standard deviations of the latency."""

    run: Annotated[float, Meta(ge=0, lt=1)] | None = None
    """Between runs of everything: what all devices of a run have in common."""
    node: Annotated[float, Meta(ge=0, lt=1)] | None = None
    """Between nodes of the class."""


class LatencyFit(Spec, frozen=True, kw_only=True):
    """How the latency runs between the sizes that were measured."""

    kind: FitKind
    """hinge: max(f, s b), flat and then proportional. affine: a + s b. spline: a monotone cubic through the points."""
    error: Annotated[float, Meta(ge=0, lt=1)]
    """Relative standard error at a size that was not measured, found by leaving measured ones out."""


class PredictedWarmup(Spec, frozen=True, kw_only=True):
    """W at a size at which it was not measured."""

    mini_batch_size: Annotated[int, Meta(ge=1, le=10**6)]
    """Images in a mini-batch."""
    warmup_micros: Quantiles
    """The prediction, and its upper quantile as p95."""


class WarmupModel(Spec, frozen=True, kw_only=True):
    """What a model of the warm-up, learnt on this device class, says of sizes that were not measured."""

    error: Annotated[float, Meta(ge=0)]
    """Median relative error at configurations that it had not seen."""
    rows: Annotated[int, Meta(ge=1)]
    """First mini-batches that it was learnt from."""
    predictions: Annotated[tuple[PredictedWarmup, ...], Meta(max_length=2048)] = ()
    """By mini-batch size."""


class ObservedJob(Spec, frozen=True, kw_only=True):
    """What a job has shown of the device class."""

    job: Annotated[str, Meta(min_length=1, max_length=64)]
    """The InferenceJob's uid: it is counted once."""
    time: Time
    """When it was noted."""
    workers: Annotated[int, Meta(ge=1)]
    """Workers that it had on devices of the class."""
    steps: Annotated[int, Meta(ge=0)] = 0
    """Steady mini-batches of those whose steps say something: enough of them, and not bound by their input."""
    step_ratio: Annotated[float, Meta(gt=0, le=100)] | None = None
    """Their mean step over the L of the profile, the job's input included; absent where none says something."""
    step_spread: Annotated[float, Meta(ge=0, lt=1)] | None = None
    """Relative standard deviation of the step between workers."""
    startup_micros: Annotated[tuple[Micros, ...], Meta(max_length=16)] = ()
    """S of its workers, ascending: from the pod's node to the first mini-batch, without that; of many, 16 of them."""


class Predicted(Spec, frozen=True, kw_only=True):
    """What a profile was predicted from, where it was not measured."""

    profile: Annotated[str, Meta(min_length=1, max_length=253)]
    """The profile of the relative: same model, engine, precision and class."""
    image_size: Annotated[int, Meta(ge=1, le=4096)]
    """The relative's image size."""
    error: Annotated[float, Meta(ge=0, lt=1)]
    """Relative standard error of the prediction; it is in spread.run."""


class ProfiledModel(Spec, frozen=True, kw_only=True):
    """What was run."""

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    """The model's name."""
    image_size: Annotated[int, Meta(ge=1, le=4096)]
    """Side of the square that the model sees, in pixels."""
    precision: Precision
    """fp32, bf16 or fp16."""


class Device(Spec, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Facts about the device, all optional; others are ignored."""

    node: str | None = None
    """The node that it was measured on; absent in a class's profile."""
    uuid: str | None = None
    """The device's own identity."""
    memory_mib: int | None = field(default=None, name="memoryMiB")
    """Its memory in MiB."""
    driver: str | None = None
    """Version of the driver."""
    threads: Annotated[int, Meta(ge=1)] | None = None
    """Cores of the slice, for CPUs."""
    slices: Annotated[int, Meta(ge=1)] | None = None
    """Slices that were busy at the same time, and so the number of devices that the machine has."""


class ProfileSpec(Spec, frozen=True, kw_only=True):
    """What was measured, where, and how."""

    device_class: Annotated[str, Meta(min_length=1, max_length=384)]
    """The set of interchangeable devices; CLASS@NODE is that of a node which is too slow for its class."""
    model: ProfiledModel
    """The model."""
    engine: EngineName
    """The engine; it decides the device: eager, openvino and compile run on CPUs, cuda and cudagraph on GPUs."""
    device: Device = Device()
    """The device."""
    software: dict[str, Any] = field(default_factory=dict)
    """Versions of torch and others."""
    measured_at: Time | None = None
    """When."""
    processes: Annotated[int, Meta(ge=1)] | None = None
    """Fresh processes measured."""
    max_mini_batch_size: Annotated[int, Meta(ge=1)] | None = None
    """MB: the largest mini-batch that fits in memory; the largest measured one by default."""
    extrapolated: bool = False
    """Whether MB was computed from the memory of smaller sizes."""
    startup_micros: Quantiles | None = None
    """S: from the worker's creation to its first mini-batch; absent: 0, with a warning in the plan."""
    spread: Spread = Spread()
    """How much the latency varies."""
    latency_fit: LatencyFit | None = None
    """How L runs between the measured sizes; absent: found when a job asks for such sizes."""
    warmup_model: WarmupModel | None = None
    """W at sizes between the measured ones; absent: the next larger size's counts."""
    contention: Annotated[float, Meta(gt=0, le=100)] = 1.0
    """How much slower a CPU slice gets when it decodes too, beyond the sum of both."""
    busy: bool = False
    """Whether the machine was busy with something else while it was measured."""
    predicted: Predicted | None = None
    """What it was predicted from; absent: it was measured."""
    observed: Annotated[tuple[ObservedJob, ...], Meta(max_length=20)] = ()
    """What the last jobs have shown since; plans take it into account from three jobs on."""
    steps: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=256)]
    """What was measured, by ascending mini-batch size."""

    def __post_init__(self) -> None:
        require_offset("measuredAt", self.measured_at)
        sizes = [step.mini_batch_size for step in self.steps]
        for before, after in pairwise(sizes):
            if before == after:
                raise ValueError(f"steps: two rows of miniBatchSize {after}; keep one")
            if before > after:
                raise ValueError(f"steps: must ascend in miniBatchSize, but {after} comes after {before}")
        if self.steps[-1].warmup_micros is None:
            raise ValueError(
                f"steps: the largest size, {sizes[-1]}, has no warmupMicros, and there is no larger one to take it from"
            )
        if self.max_mini_batch_size is not None and self.max_mini_batch_size < sizes[0]:
            raise ValueError(
                f"maxMiniBatchSize: {self.max_mini_batch_size} is below the least size measured, {sizes[0]}"
            )


class ProfileMetadata(Spec, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Name of the profile, and whatever else Kubernetes keeps there."""

    name: Annotated[str, Meta(min_length=1, max_length=253)]
    """Name of the profile."""
    labels: dict[str, str] | None = None
    """Who made it, where that was the operator."""


class GPUProfile(Spec, frozen=True, kw_only=True):
    """The measured profile of a device class, or of one node's device."""

    api_version: Literal["dueby.dev/v1alpha1"]
    """dueby.dev/v1alpha1."""
    kind: Literal["GPUProfile"]
    """GPUProfile."""
    metadata: ProfileMetadata
    """Name of the profile."""
    spec: ProfileSpec
    """What was measured."""
    status: dict[str, Any] | None = None
    """Kept by the operator; ignored on input."""

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name


def parse_profile(document: Mapping[str, object], *, origin: str = "") -> GPUProfile:
    """The document as a GPUProfile; Invalid names the field and, in front of it, the origin."""
    return validate(GPUProfile, document, origin=origin)
