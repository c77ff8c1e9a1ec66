"""InferenceJob: what a user asks for. The same manifest serves `dueby run` and the operator.

The docstring below each field is its documentation everywhere: here, in the CRD and in `kubectl explain infj.spec`.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Final, Literal

from dueby_api.classifiers import is_own
from dueby_api.engines import runs_on_cpu
from dueby_api.model import MAX_MODEL_NAME as MAX_MODEL_NAME
from dueby_api.model import Model as Model
from dueby_api.objectives import ObjectiveName
from dueby_api.output import Output
from dueby_api.places import require_apart, require_folder
from dueby_api.pod_fields import (
    IMAGE,
    IMAGE_SENTENCE,
    Annotations,
    EnvSource,
    EnvVariable,
    Labels,
    VolumeMount,
    WorkerResources,
    WorkerToleration,
    require_foreign,
    require_no_device,
)
from dueby_api.prices import Money, MoneyText, parse_money
from dueby_api.schema import Duration, LenientSpec, Meta, Spec, Time, matching, require_duration, require_time, validate
from dueby_api.schemes import READ_ONLY, SCHEMES, WRITABLE
from dueby_api.source import ONLY_APPENDED, ONLY_FILES, Source, Uri
from dueby_api.spot import SpotUse
from dueby_api.units import parse_duration_us, to_micros
from dueby_api.volumes import Name, NamedObject, Volume
from dueby_api.words import counted

API_VERSION: Final = "dueby.dev/v1alpha1"
# Far above any job, and still exact in JSON readers that know doubles only.
MAX_N = 10**12
# At 0.5 no margin is added, which is the study's own model. Beyond 0.999, noise has other tails than the normal ones.
MIN_CONFIDENCE = 0.5
MAX_CONFIDENCE = 0.999
# The confidence of a job that states none. It depends on the deadline class, so it is no default of the schema.
CLASS_CONFIDENCE = {"Hard": 0.99, "Soft": 0.95, "Relaxed": 0.95, "BestEffort": 0.95}

# What is wrong with a sink at a read-only scheme; the CRD says the same.
*_FIRST, _LAST = (f"{name}://" for name in WRITABLE if SCHEMES[name].kind == "bucket")
BUCKETS = f"{', '.join(_FIRST)} or {_LAST}"
ENGINE_BESIDE_GPU_DECODER = (
    "runs on CPUs, but source.decoder is gpu; set it to auto or to an engine for GPUs, or set source.decoder to cpu"
)
READ_ONLY_SINK = f"a web server can only be read from; use a folder, {BUCKETS}"
# A DNS label, as Kueue names its queues; empty: none.
QUEUE_NAME = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"

# Slices of cores, on a slow node of its own too.
CPU_CLASS = r"^cpu-[1-9][0-9]{0,3}(@.+)?$"
CPU_CLASSES_SENTENCE = "slices of cores are called cpu-1, cpu-2 and so on, in small letters, by the cores of one"
NO_MADE_ONES = "Append takes what is new in a source, and synthetic images are always the same; use Resume"
NAMED_ROWS = (
    "is missing; Append knows images by their names, and the numbers of a Lance dataset's rows change with its versions"
)
RESERVE_WITHIN_MAX = "devices that may be lost count within max, and can't be more; raise max or lower reserve"

DeadlineClass = Literal["Hard", "Soft", "Relaxed", "BestEffort"]
# What a job does that doesn't say: no promise stands on devices that may be taken away, unless somebody wants that.
CLASS_SPOT: Mapping[DeadlineClass, SpotUse] = {
    "Hard": "Avoid",
    "Soft": "Prefer",
    "Relaxed": "Prefer",
    "BestEffort": "Prefer",
}
# Of a small folder, so many may fail if nobody says how many: 1 % of it is less than one damaged file.
_USUAL_FAILURES = 10
Percent = Annotated[str, matching(r"^(100|[0-9]{1,2}(\.[0-9]{1,4})?)%$")]


class Sink(Spec, frozen=True, kw_only=True):
    """Where the result rows go."""

    uri: Uri
    """A folder at file, s3, gs or az, which is not in the source. It is created if it does not exist."""
    if_exists: Literal["Resume", "Fail", "Overwrite", "Append"] = "Resume"
    """Resume: keep the finished parts of the same job and do the rest. Fail: refuse a sink in use. Overwrite: start
    again, even over another job's rows. Rows of this very job, and those finished after it was created, stay. Append:
    classify the images that the sink has no row of, and add their rows to those that are there."""
    changed: bool = False
    """With Append: classify images again whose files have changed, by ETag, or size and time, since they had a row."""

    def __post_init__(self) -> None:
        require_folder("uri", self.uri)
        if self.changed and self.if_exists != "Append":
            raise ValueError(f"changed: {ONLY_APPENDED}")
        if self.uri.lower().startswith(tuple(f"{scheme}://" for scheme in READ_ONLY)):
            raise ValueError(f"uri: {READ_ONLY_SINK}")


class Gpus(Spec, frozen=True, kw_only=True):
    """Which devices may be used, and how many."""

    max: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """NGPU: the most devices that may be used; absent: all there are."""
    classes: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...], Meta(max_length=64)] = ()
    """Device classes that may be used, including their slow nodes; empty: any class."""
    reserve: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Devices that may be lost without missing the deadline. They count within max."""
    max_iterations: Annotated[int, Meta(ge=0, le=MAX_N)] | None = None
    """M: the most mini-batches that one device runs after its first."""
    spot: SpotUse | None = None
    """Whether devices of spot nodes are used, which may be taken away at any time. Prefer: those first, and others as
    far as the deadline needs them. Avoid: none of them. Only: no others. By default Avoid for Hard, Prefer for the
    other deadline classes. Without a cluster it means nothing."""

    def __post_init__(self) -> None:
        if self.max is not None and self.reserve > self.max:
            raise ValueError(f"reserve: {RESERVE_WITHIN_MAX}")
        if any(name.lower().startswith("cpu-") and not re.match(CPU_CLASS, name) for name in self.classes):
            raise ValueError(f"classes: {CPU_CLASSES_SENTENCE}")


class Worker(Spec, frozen=True, kw_only=True):
    """How the worker pods are made. Only these fields can be set."""

    image: Annotated[str, Meta(max_length=1024)] | None = None
    """The image of the steps and workers. By default the chart's `worker.image`."""
    resources: WorkerResources | None = None
    """Requests and limits, without the device."""
    env: Annotated[tuple[EnvVariable, ...], Meta(max_length=256)] = ()
    """Environment variables."""
    env_from: Annotated[tuple[EnvSource, ...], Meta(max_length=64)] = ()
    """Sources of environment variables."""
    volumes: Annotated[tuple[Volume, ...], Meta(max_length=64)] = ()
    """Volumes for source, sink and weights."""
    volume_mounts: Annotated[tuple[VolumeMount, ...], Meta(max_length=128)] = ()
    """Where the volumes are mounted."""
    service_account_name: Name | None = None
    """The service account whose cloud identity reads the source and writes the sink."""
    node_selector: Labels | None = None
    """Labels that a node must have."""
    tolerations: Annotated[tuple[WorkerToleration, ...], Meta(max_length=64)] = ()
    """Taints that the pods tolerate."""
    labels: Labels | None = None
    """Additional labels of the pods."""
    annotations: Annotations | None = None
    """Additional annotations of the pods."""
    priority_class_name: Name | None = None
    """PriorityClass of the pods."""
    runtime_class_name: Name | None = None
    """RuntimeClass of the pods that have a GPU. By default the chart's `worker.runtimeClassName`."""
    image_pull_secrets: Annotated[tuple[NamedObject, ...], Meta(max_length=16)] = ()
    """Secrets for the image's registry."""

    def __post_init__(self) -> None:
        if self.image is not None and not re.match(IMAGE, self.image):
            raise ValueError(f"image: {IMAGE_SENTENCE}")
        require_no_device("resources", self.resources)
        require_foreign("labels", self.labels)
        require_foreign("annotations", self.annotations)

    @property
    def has_own_software(self) -> bool:
        """Whether the pods' image or variables are the job's own, so that their times are, too.

        Credentials come from `envFrom`, and change no time.
        """
        return bool(self.image or self.env)


class JobSpec(Spec, frozen=True, kw_only=True):
    """N images by a deadline."""

    images: Annotated[int, Meta(ge=1, le=MAX_N)] | None = None
    """Number of images, N. Required for a synthetic source; otherwise an upper limit on the images found."""
    deadline: Duration | None = None
    """T, from the object's creation: 10m, 1h30m. Exactly one of deadline and deadlineTime."""
    deadline_time: Time | None = None
    """T as a time: 2026-12-01T06:00:00Z."""
    deadline_class: DeadlineClass = "Soft"
    """Hard: the job is refused unless the deadline can be met. Soft: the job is started in any case. Relaxed: it starts
    at once on idle devices, gives way to Hard and Soft jobs, and is Soft when it can't wait any longer. BestEffort: it
    runs on idle devices and gives them up."""
    confidence: Annotated[float, Meta(ge=MIN_CONFIDENCE, le=MAX_CONFIDENCE)] | None = None
    """Probability with which the deadline is to be met; 0.95 by default, 0.99 for Hard. 0.5 is the study's own model,
    without a margin."""
    on_deadline: Literal["Continue", "Stop"] = "Continue"
    """What happens if the deadline passes before the job is done."""
    max_failed_images: Percent | Annotated[int, Meta(ge=0, le=MAX_N)] | None = None
    """The most images that may fail, as a share or a number. With more, the job is Failed. By default 1 % of them,
    or 10 if that is more, but never more than half."""
    objective: ObjectiveName = "MinGPUs"
    """What the plan is made for. MinGPUs: as few devices as meet the deadline. MinCost: the devices that cost least, of
    those that meet the deadline; only planned yet, by `dueby plan --prices`."""
    max_cost: MoneyText | None = None
    """The most that the job may be expected to cost, with its currency: 12 USD. It needs prices, of every device class
    that the job may use. A plan that costs more gives way to the cheapest one in time; if that costs more, too, the job
    is refused. Later on, help that would bring the cost above it is left out."""
    interpolate: bool = False
    """Whether mini-batch sizes between the measured ones may be planned too. Their times are interpolated, with the
    error in the margin, and the plan marks them. Sizes above the largest measured one never are."""
    model: Model = Model()
    """The model."""
    output: Output = Output()
    """What a result row holds: the best classes, all probabilities, or an embedding."""
    source: Source
    """The images."""
    sink: Sink
    """The results."""
    gpus: Gpus = Gpus()
    """The devices."""
    worker: Worker = Worker()
    """The worker pods. Without a cluster only `env` is used; what has a `valueFrom` comes from your own environment."""
    suspend: bool = False
    """True: give the devices back and wait. The clock runs on."""
    queue_name: Annotated[str, Meta(max_length=63), matching(QUEUE_NAME)] = ""
    """The Kueue LocalQueue that the workers wait in."""
    ttl_after_finished: Duration | None = None
    """How long the finished job is kept; by default as the operator's installation says, usually permanently. Its pods
    and their logs go earlier: ten minutes after it is complete, an hour after it has failed."""

    def __post_init__(self) -> None:
        require_duration("deadline", self.deadline, otherwise="; a time, with its date, is a deadlineTime")
        require_duration("ttlAfterFinished", self.ttl_after_finished)
        require_time("deadlineTime", self.deadline_time)
        try:
            _ = self.cost_limit
        except ValueError as error:
            raise ValueError(f"maxCost: {error}") from None
        if (self.deadline is None) == (self.deadline_time is None):
            raise ValueError("give exactly one of deadline and deadlineTime")
        if self.sink.if_exists == "Append":
            if self.source.synthetic is not None:
                raise ValueError(f"sink.ifExists: {NO_MADE_ONES}")
            if self.source.lance is not None and self.source.lance.name is None:
                raise ValueError(f"source.lance.name: {NAMED_ROWS}")
        if self.sink.changed and self.source.uri is None:
            raise ValueError(f"sink.changed: {ONLY_FILES}")
        if self.source.synthetic is not None and self.images is None:
            raise ValueError("images: is missing; a synthetic source has as many images as you say")
        if self.source.decoder == "gpu" and runs_on_cpu(self.model.engine):
            raise ValueError(f"model.engine: {ENGINE_BESIDE_GPU_DECODER}")
        listed = self.source.manifest.uri if self.source.manifest else None
        require_apart("sink.uri", self.sink.uri, source=self.source.images_uri, manifest=listed)

    @property
    def planned_confidence(self) -> float:
        """The stated confidence, or else the deadline class's."""
        return CLASS_CONFIDENCE[self.deadline_class] if self.confidence is None else self.confidence

    @property
    def cost_limit(self) -> Money | None:
        """The most that the job may cost; None: no limit."""
        return None if self.max_cost is None else parse_money(self.max_cost)

    @property
    def spot_use(self) -> SpotUse:
        """Whether devices of spot nodes are used: as stated, or else as the deadline class does."""
        return self.gpus.spot or CLASS_SPOT[self.deadline_class]

    @property
    def is_measured_alone(self) -> bool:
        """Whether a cluster measures the job for itself: with its own software, or with a network that only it has."""
        return self.worker.has_own_software or is_own(self.model.name)

    @property
    def has_own_times(self) -> bool:
        """Whether its workers' times say nothing of the model alone.

        They have other software, or a network that ends at some layer, or the GPU decodes beside it.
        """
        return self.worker.has_own_software or self.output.layer is not None or self.source.decoder == "gpu"

    def deadline_us(self, *, accepted_us: int) -> int:
        """Return the deadline in microseconds since 1970, for a job accepted at `accepted_us`."""
        if self.deadline_time is not None:
            return to_micros(self.deadline_time)
        return accepted_us + parse_duration_us(self.deadline or "")

    def allowed_failures(self, images: int) -> int:
        """Return how many of N images may fail."""
        if self.max_failed_images is None:
            return max(images // 100, min(_USUAL_FAILURES, images // 2))
        if isinstance(self.max_failed_images, int):
            return self.max_failed_images
        share = Fraction(self.max_failed_images.removesuffix("%")) / 100  # in floats some shares are one image short
        return int(images * share)

    def why_too_many(self, *, images: int, failed: int) -> str:
        """Return the sentence about so many failed images of N; empty if they are allowed."""
        allowed = self.allowed_failures(images)
        if failed <= allowed:
            return ""
        as_written = f" ({self.max_failed_images})" if isinstance(self.max_failed_images, str) else ""
        return (
            f"{failed:,} of {counted(images, 'image')} ({100 * failed / images:.2g} %) have an error, and "
            f"spec.maxFailedImages allows {allowed:,}{as_written}."
        )


class JobMetadata(LenientSpec, frozen=True, kw_only=True):
    """Name of the job, and what Kubernetes keeps beside it."""

    name: Annotated[str, Meta(min_length=1, max_length=40), matching(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """At most 40 letters, digits and dashes, since the names of the job's pods begin with it."""
    namespace: str | None = None
    """Namespace of the job."""


class InferenceJob(Spec, frozen=True, kw_only=True):
    """N images classified by a deadline T on the fewest GPUs."""

    api_version: Literal["dueby.dev/v1alpha1"]
    """dueby.dev/v1alpha1."""
    kind: Literal["InferenceJob"]
    """InferenceJob."""
    metadata: JobMetadata
    """Name and namespace."""
    spec: JobSpec
    """What is wanted."""


def parse_job(document: Mapping[str, object], *, origin: str = "") -> InferenceJob:
    """Return the manifest as an InferenceJob, without its status, which only the operator reads.

    Raise Invalid with the field, after the origin, and a sentence.
    """
    wanted = document
    if isinstance(document, Mapping):
        wanted = {name: value for name, value in document.items() if name != "status"}
    return validate(InferenceJob, wanted, origin=origin)
