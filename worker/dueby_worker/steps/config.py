"""What a step of a job is told: one JSON file, written by whoever starts the process and never changed.

The backend decides everything (device, mini-batch size, share, grid) and a worker departs from none of it. Locally
each process has a file of its own. In a cluster one file serves all pods of a Job: what they have in common at the
top, and under `workers` what each one has of its own, selected by `--index` or by the Job's completion index.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from dueby_api.errors import Invalid
from dueby_api.grid import Grid, Share
from dueby_api.inference_job import MAX_N, EngineName, Model, Sink, Source
from dueby_api.schema import Meta, Spec, validate

# Set by Kubernetes in every pod of an Indexed Job.
COMPLETION_INDEX = "JOB_COMPLETION_INDEX"
MAX_PIXELS = 100_000_000

Count = Annotated[int, Meta(ge=1, le=MAX_N)]
Threads = Annotated[int, Meta(ge=1, le=1024)]
PartNumber = Annotated[int, Meta(ge=0, le=MAX_N)]
Run = tuple[PartNumber, PartNumber]


class IndexConfig(Spec, frozen=True, kw_only=True):
    """The index step: list and freeze the source, sample it, and see that the sink is this job's to use."""

    job: str
    """Name of the job."""
    model: Model
    """The job's model, for the fingerprint and for the cost of decoding to its image size."""
    source: Source
    """The images."""
    sink: Sink
    """Where the index goes, and later the rows."""
    images: Count | None = None
    """The job's `images`: needed for a synthetic source, otherwise an upper limit."""
    max_pixels: Annotated[int, Meta(ge=1)] = MAX_PIXELS
    """Larger images are not decoded."""


class FinishConfig(Spec, frozen=True, kw_only=True):
    """The finish step: see that every part is there, count rows and errors, write `_SUCCESS`."""

    job: str
    """Name of the job."""
    sink: Sink
    """The sink, whose `job.json` says the rest."""


class WorkConfig(Spec, frozen=True, kw_only=True):
    """One worker: its device, its mini-batches, its share of the grid."""

    job: str
    """Name of the job."""
    revision: Annotated[int, Meta(ge=0)]
    """Revision of the plan."""
    worker: str
    """Name of this worker, unique within the job."""
    device_class: str
    """Device class that it runs on, kept in the parts' metadata."""
    engine: EngineName
    """The engine, never `auto`: the plan has chosen."""
    threads: Threads
    """Threads of the model: the slice."""
    cores: tuple[Annotated[int, Meta(ge=0)], ...] | None = None
    """Cores that the process is pinned to; none: wherever the system puts it."""
    decode_threads: Threads
    """Threads that read and decode ahead of the model."""
    mini_batch_size: Annotated[int, Meta(ge=1, le=10**6)]
    """mbs of the study."""
    iterations: Annotated[int, Meta(ge=0)]
    """t of the study: mini-batches planned after the first."""
    share: Run
    """First part of this worker's share, and the part after its last."""
    shares: tuple[Run, ...]
    """Everyone's shares, this one's among them: where to help when one's own is done."""
    rank: Annotated[int, Meta(ge=0)] | None = None
    """Place of this worker in `shares`; by default the first place that equals `share`."""
    images: Count
    """N."""
    part_size: Count
    """Images in a part; fixed by the job's first plan."""
    model: Model
    """The model."""
    source: Source
    """The images."""
    sink: Sink
    """The results."""
    fingerprint: str | None = None
    """What the index step found; the worker refuses to run with other weights or another index. Null: not compared."""
    retry_failed: bool = False
    """Whether rows with errors in finished parts of the share are done over."""
    host: str = "127.0.0.1"
    """Address to listen on; a pod listens on 0.0.0.0 or ::."""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    """Port of /metrics, /healthz, /readyz and /progress; 0: any free one."""
    port_file: str | None = None
    """File that the real port is written to."""
    cache_dir: str | None = None
    """Folder for compiled models, shared by all workers of the machine."""
    max_pixels: Annotated[int, Meta(ge=1)] = MAX_PIXELS
    """Larger images are rows with an error, refused by their header."""

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


Kind = TypeVar("Kind", bound=Spec)


def load_config(
    kind: type[Kind], path: Path, *, index: int | None = None, environment: Mapping[str, str] = os.environ
) -> Kind:
    """The file as `kind`; Invalid says what is wrong with it."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise Invalid(str(path), f"can't be read: {error.strerror}") from None
    except ValueError as error:
        raise Invalid(str(path), f"is not JSON: {error}") from None
    if isinstance(document, dict) and "workers" in document:
        document = _select(
            document, index if index is not None else environment.get(COMPLETION_INDEX), origin=str(path)
        )
    return validate(kind, document, origin=str(path))


def _select(document: dict[str, Any], index: int | str | None, *, origin: str) -> dict[str, Any]:
    """What all workers have in common, with what worker `index` has of its own over it."""
    workers = document["workers"]
    if index is None:
        raise Invalid("--index", f"{origin} holds several workers; say which one, or set {COMPLETION_INDEX}")
    if not isinstance(workers, list) or not all(isinstance(worker, dict) for worker in workers):
        raise Invalid(f"{origin}: workers", "must be a list of mappings")
    if not str(index).isdecimal() or int(index) >= len(workers):
        raise Invalid("--index", f"there is no worker {index} in {origin}, which holds {len(workers)}")
    common = {name: value for name, value in document.items() if name != "workers"}
    return {**common, **workers[int(index)]}
