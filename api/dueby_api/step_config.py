"""What a step of a job is told: one JSON file, written by whoever starts the process and never changed.

The backend decides everything (device, mini-batch size, share, grid) and a worker departs from none of it. Locally
each process has a file of its own. In a cluster one file serves all pods of a Job: what they have in common is at the
top, and `workers` holds what each pod has of its own, in the order of the Job's indices.
"""

from typing import Annotated

from dueby_api.engines import EngineName
from dueby_api.grid import Grid, Share
from dueby_api.inference_job import MAX_N, Model, Sink
from dueby_api.output import Output
from dueby_api.schema import Meta, Spec
from dueby_api.source import Source

# 300 MB as RGB. Larger images are not photos, and some are made to fill a memory.
MAX_PIXELS = 100_000_000

# The environment variable that says how often this worker, or others of its run, were lost before.
LOSSES_VARIABLE = "DUEBY_LOSSES"
# From so many losses on an image may be the reason, and workers decode each image in a process that it may kill. One
# loss is what nodes and people do.
CAREFUL_AFTER = 2
# Whoever wants the device of a worker that leaves may have to wait for so long.
MAX_GRACE_S = 3600

Count = Annotated[int, Meta(ge=1, le=MAX_N)]
Threads = Annotated[int, Meta(ge=1, le=1024)]
Uid = Annotated[str, Meta(min_length=1, max_length=128)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Whole = Annotated[int, Meta(ge=0, le=MAX_N)]
PartNumber = Whole
PartRun = tuple[PartNumber, PartNumber]


class OnceConfig(Spec, frozen=True, kw_only=True):
    """A step that there is once for a job."""

    job: str
    """Name of the job."""
    sink: Sink
    """Where the index goes, and later the rows. Its `job.json` says the rest of a job that has begun."""
    host: str = "127.0.0.1"
    """Address to listen on; a pod listens on 0.0.0.0 or ::."""
    port: Port | None = None
    """Port of /progress; absent: nobody asks."""


class IndexConfig(OnceConfig, frozen=True, kw_only=True):
    """The index step: list and freeze the source, sample it, and see that the sink is this job's to use."""

    model: Model
    """The job's model, for the fingerprint and for the cost of decoding to its image size."""
    output: Output = Output()
    """What the rows are to hold, for the fingerprint."""
    source: Source
    """The images."""
    images: Count | None = None
    """The job's `images`: needed for a synthetic source, otherwise an upper limit."""
    cache_dir: str | None = None
    """Folder in which workers of this machine have noted what they know of models; absent: the model is loaded."""
    max_pixels: Count = MAX_PIXELS
    """Larger images are not decoded."""
    uid: Uid | None = None
    """The InferenceJob's uid; absent without a cluster. A sink that this very job began is never emptied."""
    created_unix_micros: Annotated[int, Meta(ge=0, le=10**17)] | None = None
    """When the InferenceJob was created; rows that were finished after that are never overwritten."""
    is_restored: bool = False
    """Whether the InferenceJob comes from a backup: then it goes on with what is there, whatever sink.ifExists is."""


class FinishConfig(OnceConfig, frozen=True, kw_only=True):
    """The finish step: see that every part is there, count rows and errors, write `_SUCCESS`."""

    uid: Uid | None = None
    """The InferenceJob's uid; absent without a cluster. `_SUCCESS` says who has found the rows complete."""


class EarlyConfig(Spec, frozen=True, kw_only=True):
    """A worker that is started before there is a plan: what it loads until it is told its WorkConfig."""

    model: Model
    """The job's model."""
    output: Output = Output()
    """What the rows hold."""
    engine: EngineName
    """The engine, never `auto`: the one that the plan will most likely choose."""
    threads: Threads
    """Threads of the model: the slice."""
    cores: tuple[Whole, ...] | None = None
    """Cores that the process is pinned to; none: wherever the system puts it."""
    cache_dir: str | None = None
    """Folder for compiled models and what is known of models, shared by the machine's workers; None: none is kept."""


class WorkConfig(EarlyConfig, frozen=True, kw_only=True):
    """One worker: its device, its mini-batches, its share of the grid. The engine is the one of the plan."""

    job: str
    """Name of the job."""
    uid: Uid | None = None
    """The InferenceJob's uid; absent without a cluster. The names of a sink's parts follow from who began it."""
    revision: Whole
    """Revision of the plan."""
    worker: str
    """Name of this worker, unique within the job."""
    device_class: str
    """Device class that it runs on, kept in the parts' metadata."""
    decode_threads: Threads
    """Threads that read and decode ahead of the model."""
    mini_batch_size: Annotated[int, Meta(ge=1, le=10**6)]
    """mbs of the study."""
    iterations: Whole
    """t of the study: mini-batches planned after the first."""
    max_iterations: Whole | None = None
    """M of the study: the most mini-batches after the first that this worker runs; absent: no limit."""
    share: PartRun
    """First part of this worker's share, and the part after its last."""
    shares: tuple[PartRun, ...]
    """Everyone's shares, this one's among them: where to help when one's own is done."""
    rank: Whole | None = None
    """Place of this worker in `shares`; by default the first place that equals `share`."""
    images: Count
    """N."""
    part_size: Count
    """Images in a part; fixed by the job's first plan."""
    source: Source
    """The images."""
    sink: Sink
    """The results."""
    fingerprint: str | None = None
    """What the index step found; the worker refuses to run with other weights or another index. Null: not compared."""
    retry_failed: bool = False
    """Whether rows with errors in finished parts of the share are done over."""
    grace_seconds: Annotated[int, Meta(ge=0, le=MAX_GRACE_S)] = 0
    """After SIGTERM the worker finishes its open part if that takes no longer; 0: it drops it and is gone in 2 s."""
    host: str = "127.0.0.1"
    """Address to listen on; a pod listens on 0.0.0.0 or ::."""
    port: Port = 0
    """Port of /metrics, /healthz, /readyz and /progress; 0: any free one."""
    port_file: str | None = None
    """File that the real port is written to."""
    max_pixels: Count = MAX_PIXELS
    """Larger images are rows with an error, refused by their header."""
    requests_per_second: Annotated[float, Meta(gt=0, le=10**9)] | None = None
    """Requests a second that it makes of the images' store at most; absent: as many as the store takes."""

    def __post_init__(self) -> None:
        parts = self.grid.parts
        for name, (first, end) in (
            ("share", self.share),
            *((f"shares[{i}]", run) for i, run in enumerate(self.shares)),
        ):
            if not first <= end <= parts:
                raise ValueError(f"{name}: [{first}, {end}] is not a run of the {parts} parts")
        if self.shares[self.place : self.place + 1] != (self.share,):
            raise ValueError("share: is not in its place among shares")

    @property
    def grid(self) -> Grid:
        """The part grid."""
        return Grid(images=self.images, part_size=self.part_size)

    @property
    def place(self) -> int:
        """Place of this worker among the shares; after the last one where it isn't there."""
        if self.rank is not None:
            return self.rank
        return self.shares.index(self.share) if self.share in self.shares else len(self.shares)

    @property
    def own_share(self) -> Share:
        """The share."""
        return Share(first=self.share[0], end=self.share[1])

    @property
    def all_shares(self) -> tuple[Share, ...]:
        """Everyone's shares."""
        return tuple(Share(first=first, end=end) for first, end in self.shares)


class ProfileConfig(Spec, frozen=True, kw_only=True):
    """The profiling step: measure one device."""

    job: str
    """Name of the job."""
    model: Model
    """The model, with random weights: they make no difference to the time."""
    device_class: str
    """What the cluster calls the device."""
    gpu: bool
    """Whether the device is a GPU; otherwise it is a slice of cores."""
    threads: Threads
    """Cores that the model or, beside a GPU, its host process may use."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 0
    """Port of /progress; 0: any free one."""
    cache_dir: str | None = None
    """Folder for compiled models that workers share; absent: each of them compiles for itself when it starts."""
