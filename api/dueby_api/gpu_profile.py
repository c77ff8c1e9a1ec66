"""GPUProfile: the measured latency, warm-up, memory and start-up of a device class for one model, size and precision.

It is the same document everywhere: written by the profiler, kept as a file or an object of a cluster, and planned by.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal

from dueby_api.agreement import Agreement
from dueby_api.capacity import PoolName
from dueby_api.engines import EngineName, Precision
from dueby_api.inference_job import MAX_MODEL_NAME, MAX_N
from dueby_api.schema import LenientSpec, Meta, Spec, Time, field, require_time, validate
from dueby_api.start_parts import StartParts
from dueby_api.status import ProfileStatus

Word = Annotated[str, Meta(max_length=253)]
Text = Annotated[str, Meta(max_length=1024)]
Micros = Annotated[int, Meta(ge=0, le=10**15)]
Count = Annotated[int, Meta(ge=1, le=MAX_N)]
ASSUMED_IN_CLUSTER = "a cluster's promises take measured profiles; only `dueby plan` takes assumed ones"
FitKind = Literal["hinge", "affine", "spline"]


class Latency(Spec, frozen=True, kw_only=True):
    """Time of a steady mini-batch in microseconds."""

    mean: Annotated[int, Meta(ge=1, le=10**15)]
    """L: the mean. The planner uses it, since it is the mean that adds up over many steps."""
    p50: Micros | None = None
    """The median."""
    p90: Micros | None = None
    """The 90th percentile."""
    p95: Micros | None = None
    """The 95th percentile."""


class Quantiles(Spec, frozen=True, kw_only=True):
    """A time that is measured once per process, in microseconds."""

    p50: Micros
    """The median: the expected time."""
    p95: Micros
    """The 95th percentile: what a plan at a confidence of 0.95 uses."""

    def __post_init__(self) -> None:
        if self.p95 < self.p50:
            raise ValueError(f"p95: {self.p95} is below the median, {self.p50}")


class MeasuredStep(Spec, frozen=True, kw_only=True):
    """What was measured at one mini-batch size."""

    mini_batch_size: Annotated[int, Meta(ge=1, le=10**6)]
    """Images in a mini-batch."""
    samples: Count | None = None
    """Steady mini-batches measured, over all processes."""
    latency_micros: Latency
    """L."""
    warmup_micros: Quantiles | None = None
    """W, the first mini-batch of a process. If it is missing, the next larger size's is used."""
    memory_mib: Annotated[int, Meta(ge=0, le=MAX_N)] | None = field(default=None, name="memoryMiB")
    """Peak memory in MiB: the GPU's, or a CPU slice's."""
    host_memory_mib: Annotated[int, Meta(ge=0, le=MAX_N)] | None = field(default=None, name="hostMemoryMiB")
    """Peak of the host's memory beside a GPU's, in MiB."""


class Spread(Spec, frozen=True, kw_only=True):
    """How much times vary: relative standard deviations of the latency, and what of the start-up's is common."""

    run: Annotated[float, Meta(ge=0, lt=1)] | None = None
    """Between runs: what all devices of a run have in common."""
    node: Annotated[float, Meta(ge=0, lt=1)] | None = None
    """Between nodes of the class."""
    own_start: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Share of the variance of S that each start has alone, beside what those that start together have in common; if
    it is absent, all of it is taken to be common."""


class LatencyFit(Spec, frozen=True, kw_only=True):
    """How the latency runs between the measured mini-batch sizes."""

    kind: FitKind
    """hinge: max(f, s b), flat and then proportional. affine: a + s b. spline: a monotone cubic through the points."""
    error: Annotated[float, Meta(ge=0, lt=1)]
    """Relative standard error at a size that was not measured, found by leaving measured ones out."""


class PredictedWarmup(Spec, frozen=True, kw_only=True):
    """W at a mini-batch size at which it was not measured."""

    mini_batch_size: Annotated[int, Meta(ge=1, le=10**6)]
    """Images in a mini-batch."""
    warmup_micros: Quantiles
    """The prediction as p50, its upper quantile as p95."""


class WarmupModel(Spec, frozen=True, kw_only=True):
    """Predictions of W at sizes that were not measured, by a model that was trained on this device class."""

    error: Annotated[float, Meta(ge=0, le=10**9)]
    """Median relative error at configurations that it was not trained on."""
    rows: Count
    """First mini-batches that it was trained on."""
    predictions: Annotated[tuple[PredictedWarmup, ...], Meta(max_length=2048)] = ()
    """One for each mini-batch size."""


class ObservedJob(Spec, frozen=True, kw_only=True):
    """What a job has shown of the device class."""

    job: Annotated[str, Meta(min_length=1, max_length=64)]
    """The InferenceJob's uid, so that it is counted once; on one machine, the name of the run."""
    namespace: Annotated[str, Meta(max_length=63)] = ""
    """The InferenceJob's namespace. Plans of other namespaces believe the row only within bounds."""
    time: Time
    """When this was noted."""
    workers: Count
    """Workers that the job had on devices of the class."""
    steps: Annotated[int, Meta(ge=0, le=MAX_N)] = 0
    """Steady mini-batches of the workers that did enough of them and were not slowed by their input."""
    step_ratio: Annotated[float, Meta(gt=0, le=100)] | None = None
    """Mean step of those workers divided by the profile's L with the job's input; absent if there are none."""
    step_spread: Annotated[float, Meta(ge=0, lt=1)] | None = None
    """Relative standard deviation of the step between those workers."""
    startup_micros: Annotated[tuple[Micros, ...], Meta(max_length=16)] = ()
    """S of its workers, ascending: from the pod's scheduling to the beginning of the first mini-batch; at most 16."""
    provision_micros: Annotated[
        dict[PoolName, Annotated[tuple[Micros, ...], Meta(max_length=16)]], Meta(max_length=8)
    ] = field(default_factory=dict)
    """By pool of nodes, how long each node took that its workers waited for, ascending: from the oldest of its pods to
    the first that it could take, once it was ready with its devices."""
    start_parts: StartParts | None = None
    """What S + W consisted of, with the wait for a node before it: the mean of each part over the workers."""

    def __post_init__(self) -> None:
        require_time("time", self.time)


class Predicted(Spec, frozen=True, kw_only=True):
    """What a profile was predicted from, if it was not measured."""

    profile: Annotated[str, Meta(min_length=1, max_length=253)]
    """The measured profile: same model, engine, precision and class, another image size."""
    image_size: Annotated[int, Meta(ge=1, le=4096)]
    """The image size of that profile."""
    error: Annotated[float, Meta(ge=0, lt=1)]
    """Relative standard error of the prediction. It is part of spread.run."""


class ProfiledModel(Spec, frozen=True, kw_only=True):
    """The model that was run."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_MODEL_NAME)]
    """The model's name."""
    image_size: Annotated[int, Meta(ge=1, le=4096)]
    """Side of the square that the model sees, in pixels."""
    precision: Precision
    """fp32, tf32, bf16, fp16 or int8."""


class DecodingRate(Spec, frozen=True, kw_only=True):
    """How many photos of 640 x 480 pixels a GPU's worker reads and decodes with so many cores."""

    cores: Annotated[int, Meta(ge=1, le=4096)]
    """Cores that decode at the same time."""
    images_per_second: Annotated[float, Meta(gt=0, le=10**9)]
    """Photos a second."""


class Device(LenientSpec, frozen=True, kw_only=True):
    """Facts about the device. All are optional, and others are ignored."""

    node: Word | None = None
    """The node that was measured; absent in a class's profile."""
    uuid: Word | None = None
    """The device's own identifier."""
    memory_mib: Annotated[int, Meta(ge=0, le=MAX_N)] | None = field(default=None, name="memoryMiB")
    """Its memory in MiB."""
    driver: Word | None = None
    """Version of the driver."""
    threads: Count | None = None
    """Cores of the slice, for CPUs."""
    slices: Count | None = None
    """Slices that were busy at the same time: the number of such devices that the machine has."""


class ProfileSpec(Spec, frozen=True, kw_only=True):
    """What was measured, where, and how."""

    device_class: Annotated[str, Meta(min_length=1, max_length=384)]
    """The set of interchangeable devices. CLASS@NODE is the class of a node that is too slow for CLASS."""
    model: ProfiledModel
    """The model."""
    engine: EngineName
    """The engine. It decides the kind of device: eager, openvino, ncnn and compile run on CPUs, cuda,
    cudagraph, inductor, onnxruntime and tensorrt on GPUs."""
    device: Device = Device()
    """The device."""
    software: Annotated[dict[Word, Text], Meta(max_length=32)] = field(default_factory=dict)
    """Versions of torch and other software."""
    measured_at: Time | None = None
    """When it was measured."""
    processes: Count | None = None
    """Number of fresh processes measured."""
    max_mini_batch_size: Count | None = None
    """MB: the largest mini-batch that fits in memory. By default the largest measured one."""
    extrapolated: bool = False
    """Whether MB was extrapolated from the memory of smaller sizes."""
    startup_micros: Quantiles | None = None
    """S: from the worker's creation to its first mini-batch. If absent, 0 is assumed and the plan has a warning."""
    spread: Spread = Spread()
    """How much the latency varies."""
    latency_fit: LatencyFit | None = None
    """How L runs between the measured sizes; absent: it is fitted when a job asks for such sizes."""
    warmup_model: WarmupModel | None = None
    """W at sizes between the measured ones; absent: the next larger size's is used."""
    contention: Annotated[float, Meta(gt=0, le=100)] = 1.0
    """How much slower a CPU slice is while it decodes as well, relative to the sum of both times. Of a GPU: how much
    slower it computes while the host's cores decode. 1 where it was not measured."""
    serial_micros: Annotated[float, Meta(ge=0, le=10**6)] | None = None
    """What a GPU's worker does for one image at a time, however many cores it has; absent: 100 is assumed."""
    decoding: Annotated[tuple[DecodingRate, ...], Meta(max_length=64)] = ()
    """What a GPU's worker makes of its cores, ascending; absent: each core is taken to do as much as one alone."""
    busy: bool = False
    """Whether the machine was busy with something else while it was measured."""
    cut_short: bool = False
    """Whether there was no time to measure mini-batches as large as would be faster, or a process crashed at one."""
    remarks: Annotated[tuple[Text, ...], Meta(max_length=8)] = ()
    """What is to be known of the measurement: a GPU's clock and power under load, and what held the clock down."""
    agreement: Agreement | None = None
    """How far the results are from fp32's, on photos; absent: it is fp32, or there were no photos or no weights."""
    predicted: Predicted | None = None
    """What the profile was predicted from; absent: it was measured."""
    assumed: bool = False
    """Whether it was derived from published figures, and not measured. Only `dueby plan` takes it, with a warning."""
    source: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None
    """Of an assumed profile: where its figures are published, and their licence."""
    observed: Annotated[tuple[ObservedJob, ...], Meta(max_length=20)] = ()
    """What the last jobs have shown since. Plans use it from three jobs on."""
    steps: Annotated[tuple[MeasuredStep, ...], Meta(min_length=1, max_length=256)]
    """What was measured, in ascending order of mini-batch size."""

    def __post_init__(self) -> None:
        require_time("measuredAt", self.measured_at)
        if self.assumed and not self.source:
            raise ValueError("source: is missing; say where the figures of an assumed profile are published")
        sizes = [step.mini_batch_size for step in self.steps]
        for before, after in pairwise(sizes):
            if before == after:
                raise ValueError(f"steps: two rows of miniBatchSize {after}; keep one")
            if before > after:
                raise ValueError(f"steps: must ascend in miniBatchSize, but {after} comes after {before}")
        for before, after in pairwise(rate.cores for rate in self.decoding):
            if before >= after:
                raise ValueError(f"decoding: must ascend in cores, but {after} comes after {before}")
        if self.steps[-1].warmup_micros is None:
            raise ValueError(
                f"steps: the largest size, {sizes[-1]}, has no warmupMicros, and there is no larger one to take it from"
            )
        if self.max_mini_batch_size is not None and self.max_mini_batch_size < sizes[0]:
            raise ValueError(
                f"maxMiniBatchSize: {self.max_mini_batch_size} is below the least size measured, {sizes[0]}"
            )


class OwnerReference(LenientSpec, frozen=True, kw_only=True):
    """An object that another one goes with: it is deleted with it."""

    api_version: str = ""
    """Its API."""
    kind: str = ""
    """Its kind."""
    name: str = ""
    """Its name."""
    uid: str = ""
    """Its uid."""


class ProfileMetadata(LenientSpec, frozen=True, kw_only=True):
    """Name of the profile, and what Kubernetes keeps beside it."""

    name: Annotated[str, Meta(min_length=1, max_length=253)]
    """Name of the profile."""
    uid: str | None = None
    """What tells it from another of its name, as Kubernetes gives it."""
    labels: dict[str, str] | None = None
    """Labels: who made it, if it was the operator."""
    generation: int | None = None
    """The version of the spec, as Kubernetes counts it."""
    owner_references: tuple[OwnerReference, ...] | None = None
    """The Node that a node's profile goes with."""


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
    status: ProfileStatus | None = None
    """What the operator has seen of the profile; ignored on input."""

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name


def parse_profile(document: Mapping[str, object], *, origin: str = "") -> GPUProfile:
    """Return the document as a GPUProfile, without its status, which only the operator reads.

    Raise Invalid with the field, after the origin, and a sentence.
    """
    if isinstance(document, Mapping):
        document = {name: value for name, value in document.items() if name != "status"}
    return validate(GPUProfile, document, origin=origin)


def images_per_second(spec: ProfileSpec) -> float:
    """Return the rate of one device at its best measured mini-batch size that fits in memory."""
    largest = spec.max_mini_batch_size or spec.steps[-1].mini_batch_size
    return max(s.mini_batch_size * 1e6 / s.latency_micros.mean for s in spec.steps if s.mini_batch_size <= largest)
