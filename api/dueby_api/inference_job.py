"""InferenceJob: what a user asks for. Values only; the same manifest serves `dueby run` and the operator.

The docstring below each field is its documentation everywhere: here, in the CRD and in `kubectl explain infj.spec`.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

from dueby_api.errors import Invalid
from dueby_api.schema import Duration, Meta, Spec, Time, require_duration, require_offset, validate
from dueby_api.units import parse_duration_us, to_micros

API_VERSION: Final = "dueby.dev/v1alpha1"
MAX_N = 10**12
MIN_CONFIDENCE = 0.5
MAX_CONFIDENCE = 0.999
# What a job is planned with when it says nothing; not a default of the schema, since it depends on the class.
CLASS_CONFIDENCE = {"Hard": 0.99, "Soft": 0.95, "Relaxed": 0.95, "BestEffort": 0.95}

DeadlineClass = Literal["Hard", "Soft", "Relaxed", "BestEffort"]
Precision = Literal["fp32", "bf16", "fp16"]
EngineName = Literal["eager", "openvino", "compile", "cuda", "cudagraph"]
Uri = Annotated[str, Meta(min_length=1, max_length=2048)]
Percent = Annotated[str, Meta(pattern=r"^(100|[0-9]{1,2}(\.[0-9]{1,4})?)%$")]


class Model(Spec, frozen=True, kw_only=True):
    """Which model classifies, and how exactly."""

    name: Annotated[str, Meta(min_length=1, max_length=63)] = "efficientnet_b0"
    """A classifier of torchvision by its name there, or efficientnet_lite0."""
    weights: Annotated[str, Meta(min_length=1, max_length=2048)] = "DEFAULT"
    """DEFAULT or another of the model's weights by name (IMAGENET1K_V1), a path to a state_dict or a safetensors file,
    or none: random weights, with which the results mean nothing."""
    image_size: Annotated[int, Meta(ge=32, le=4096)] = 224
    """Side of the square that the model sees, in pixels."""
    precision: Precision = "fp32"
    """fp32, bf16 or fp16. Results may differ between precisions, so no engine changes it."""
    engine: Literal["auto"] | EngineName = "auto"
    """auto (the fastest that was measured at this precision), or one of eager, openvino and compile (on CPUs), cuda and
    cudagraph (on NVIDIA GPUs)."""
    labels: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    """Path of a text file with one label a line, in the order of the model's outputs; by default the weights' own."""
    classes: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """Number of the model's outputs, where it isn't that of the weights' own labels."""


class Manifest(Spec, frozen=True, kw_only=True):
    """A list of images."""

    uri: Uri
    """A text file (one URI a line), a CSV or a Parquet file with a column `uri`."""


class Synthetic(Spec, frozen=True, kw_only=True):
    """Images made on the fly, the same for the same index: the study's dummy images."""

    width: Annotated[int, Meta(ge=1, le=16_384)] | None = None
    """Width in pixels; the model's image size by default."""
    height: Annotated[int, Meta(ge=1, le=16_384)] | None = None
    """Height in pixels; the model's image size by default."""


class Source(Spec, frozen=True, kw_only=True):
    """Where the images come from: exactly one of uri, manifest and synthetic."""

    uri: Uri | None = None
    """A folder or a glob, at file, s3, gs, http or https."""
    manifest: Manifest | None = None
    """A list of images instead of a folder."""
    synthetic: Synthetic | None = None
    """Images made on the fly; `images` says how many."""

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.uri, self.manifest, self.synthetic)) != 1:
            raise ValueError("give exactly one of uri, manifest and synthetic")


class Sink(Spec, frozen=True, kw_only=True):
    """Where the result rows go."""

    uri: Uri
    """A folder at file, s3 or gs; it is made if it isn't there."""
    if_exists: Literal["Resume", "Fail", "Overwrite"] = "Resume"
    """Resume: keep the parts of the same job and do the rest. Fail: refuse a sink in use. Overwrite: start anew, even
    over another job's rows."""

    def __post_init__(self) -> None:
        if self.uri.lower().startswith(("http://", "https://")):
            raise ValueError("uri: a web server can only be read from; use a folder, s3:// or gs://")


class Gpus(Spec, frozen=True, kw_only=True):
    """Which devices may be used, and how many."""

    max: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """NGPU: the most devices; absent: all there are."""
    classes: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=128)], ...], Meta(max_length=64)] = ()
    """Device classes that may be used, each with the nodes of it that are slow; empty: any."""
    reserve: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Devices that may be lost without missing the deadline. They count within max."""
    max_iterations: Annotated[int, Meta(ge=0)] | None = None
    """M: the most mini-batches of one device after its first."""


class Worker(Spec, frozen=True, kw_only=True):
    """How the worker pods are made; only these fields."""

    image: str | None = None
    """The worker image; by default the operator's own version of it."""
    resources: dict[str, Any] | None = None
    """Requests and limits besides the device."""
    env: tuple[dict[str, Any], ...] = ()
    """Environment variables."""
    env_from: tuple[dict[str, Any], ...] = ()
    """Sources of environment variables."""
    volumes: tuple[dict[str, Any], ...] = ()
    """Volumes for source, sink and weights."""
    volume_mounts: tuple[dict[str, Any], ...] = ()
    """Where the volumes are mounted."""
    service_account_name: str | None = None
    """The service account whose cloud identity reads the source and writes the sink."""
    node_selector: dict[str, str] | None = None
    """Labels that a node must have."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """Taints that are tolerated."""
    labels: dict[str, str] | None = None
    """More labels for the pods."""
    annotations: dict[str, str] | None = None
    """More annotations for the pods."""
    priority_class_name: str | None = None
    """PriorityClass of the pods."""
    image_pull_secrets: tuple[dict[str, Any], ...] = ()
    """Secrets for the image's registry."""


class JobSpec(Spec, frozen=True, kw_only=True):
    """N images by a deadline."""

    images: Annotated[int, Meta(ge=1, le=MAX_N)] | None = None
    """N. Needed for a synthetic source; otherwise the images are counted and this is an upper limit."""
    deadline: Duration | None = None
    """T, from the object's creation: 10m, 1h30m. Exactly one of deadline and deadlineTime."""
    deadline_time: Time | None = None
    """T as a time: 2026-12-01T06:00:00Z."""
    deadline_class: DeadlineClass = "Soft"
    """Hard: refused unless it can be met. Soft: started in any case. Relaxed: on idle devices, started no earlier than
    needed. BestEffort: on idle devices, and gives them up."""
    confidence: Annotated[float, Meta(ge=MIN_CONFIDENCE, le=MAX_CONFIDENCE)] | None = None
    """Probability with which the deadline is to be met; 0.95 by default, 0.99 for Hard. 0.5 is the study's own model,
    without any margin."""
    on_deadline: Literal["Continue", "Stop"] = "Continue"
    """What happens when the deadline passes first."""
    max_failed_images: Percent | Annotated[int, Meta(ge=0)] = "1%"
    """With more images failed than this (a share or a number) the job is Failed."""
    objective: Literal["MinGPUs", "MaxThroughput", "MinCost", "MinEnergy"] = "MinGPUs"
    """MinGPUs: as few devices as meet the deadline. MaxThroughput: as many images as can be done by it. MinCost and
    MinEnergy: the cheapest plan in money or energy."""
    interpolate: bool = False
    """Whether mini-batch sizes between the measured ones may be planned too: their times are filled in, the doubt about
    them is part of the margin, and the plan marks them. Sizes above the largest measured one never are."""
    model: Model = Model()
    """The model."""
    source: Source
    """The images."""
    sink: Sink
    """The results."""
    gpus: Gpus = Gpus()
    """The devices."""
    worker: Worker = Worker()
    """The worker pods; without a cluster only `env` counts."""
    suspend: bool = False
    """True: give the devices back and wait; the clock runs on."""
    queue_name: Annotated[str, Meta(max_length=63)] = ""
    """A Kueue LocalQueue."""
    ttl_after_finished: Duration | None = None
    """How long the finished job is kept."""

    def __post_init__(self) -> None:
        require_duration("deadline", self.deadline)
        require_duration("ttlAfterFinished", self.ttl_after_finished)
        require_offset("deadlineTime", self.deadline_time)
        if (self.deadline is None) == (self.deadline_time is None):
            raise ValueError("give exactly one of deadline and deadlineTime")
        if self.source.synthetic is not None and self.images is None:
            raise ValueError("images: is missing; a synthetic source has as many images as you say")

    @property
    def planned_confidence(self) -> float:
        """The stated confidence, or the deadline class's."""
        return CLASS_CONFIDENCE[self.deadline_class] if self.confidence is None else self.confidence

    def deadline_us(self, *, accepted_us: int) -> int:
        """The deadline in microseconds since 1970, for a job accepted at `accepted_us`."""
        if self.deadline_time is not None:
            return to_micros(self.deadline_time)
        return accepted_us + parse_duration_us(self.deadline or "")

    def allowed_failures(self, images: int) -> int:
        """How many of N images may fail."""
        if isinstance(self.max_failed_images, int):
            return self.max_failed_images
        share = Fraction(self.max_failed_images.removesuffix("%")) / 100  # a float is one image short here and there
        return int(images * share)


class JobMetadata(Spec, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Name of the job, and whatever else Kubernetes keeps there."""

    name: Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """At most 40 characters, letters, digits and dashes: the names of the job's pods begin with it."""
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
    status: dict[str, Any] | None = None
    """What the operator has seen and decided; ignored on input."""


def parse_job(document: Mapping[str, object], *, origin: str = "") -> InferenceJob:
    """The manifest as an InferenceJob; Invalid names the field and, in front of it, the origin."""
    return validate(InferenceJob, document, origin=origin)


def refuse_unbuilt(spec: JobSpec) -> None:
    """Invalid for what the schema knows already but no release does yet."""
    if spec.objective != "MinGPUs":
        raise Invalid("spec.objective", f"{spec.objective} is not built yet; MinGPUs is")
