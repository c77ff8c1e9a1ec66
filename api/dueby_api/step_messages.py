"""What steps and workers say: progress while they work, and their last words when they end.

Whoever started them reads it: the operator over the network and from a pod's termination message, `dueby run` from its
processes. It comes from outside, so every number is bounded and unknown fields are ignored.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from dueby_api.agreement import Agreement
from dueby_api.inference_job import MAX_N
from dueby_api.input_cost import InputCost
from dueby_api.parts import MAX_RUNS, PartsText
from dueby_api.schema import LenientSpec, Meta, Spec, field
from dueby_api.start_parts import StartParts

Micros = Annotated[int, Meta(ge=0, le=10**15)]
Count = Annotated[int, Meta(ge=0, le=MAX_N)]
MAX_WORD = 256
Word = Annotated[str, Meta(max_length=MAX_WORD)]
# Kubernetes keeps 4,096 bytes of a pod's last words. JSON that is cut off is none, so steps say less.
Sentence = Annotated[str, Meta(max_length=4096)]
MAX_SENTENCE = 2000
# In the order in which a worker goes through them. It ends as "done" if every part is in the sink, and as "spent" if
# parts are missing but it has run all the mini-batches that gpus.maxIterations allows it.
WorkerPhase = Literal["starting", "warming", "running", "tails", "done", "spent"]
# Of what a store says, so much is passed on.
MAX_STORE_ERROR = 400

# Exit codes of a step's process.
EXIT_DONE = 0
EXIT_BUG = 1
# The input is wrong: the same step would end so again.
EXIT_INVALID = 2
# Something outside did not answer: the same step may succeed later. EX_TEMPFAIL of sysexits.h.
EXIT_TRY_AGAIN = 75


class ParityCheck(LenientSpec, frozen=True, kw_only=True):
    """How far an engine's first results are from plain fp32 PyTorch's."""

    max_difference: Annotated[float, Meta(ge=0, le=10**9)] | None = None
    """The largest difference of a probability; of an embedding, the longest difference beside the vector's length."""
    same_top1: Annotated[float, Meta(ge=0, le=1)] | None = field(default=None, name="sameTop1")
    """Share of images with the same best class; absent for embeddings."""
    ok: bool = False
    """Whether that is within the engine's and the precision's limits."""
    sentence: Sentence = ""
    """The same for people."""


class StoreWait(LenientSpec, frozen=True, kw_only=True):
    """A store that a step waits for: requests to it fail, and are sent again until it takes them."""

    store: Literal["sink", "source"]
    """Which of the job's stores it is."""
    error: Annotated[str, Meta(max_length=MAX_STORE_ERROR)] = ""
    """What the store, or the way to it, said last."""
    seconds: Annotated[float, Meta(ge=0, le=10**9)] = 0
    """How long the step has been waiting at this answer."""


class OnceProgress(LenientSpec, frozen=True, kw_only=True):
    """What the /progress of an index or finish step shows, of which a job has one each."""

    waits_for: StoreWait | None = None
    """The store that it waits for; absent while it waits for none."""


class WorkerProgress(LenientSpec, frozen=True, kw_only=True):
    """What a worker's /progress shows."""

    worker: Word = ""
    """Its name."""
    state: WorkerPhase = "starting"
    """What it is doing."""
    images_done: Count = 0
    """Images of parts that it committed, and of its open parts."""
    images_failed: Count = 0
    """Of those, images whose row has an error."""
    parts_committed: Count = 0
    """Parts that it put into the sink."""
    parts_doubled: Count = 0
    """Parts that were somebody else's after all."""
    batches: Count = 0
    """Mini-batches done, the first one included."""
    share: tuple[Count, Count] = (0, 0)
    """First part of its share, and the part after its last."""
    next_part: Count = 0
    """The part of its share that it comes to next."""
    step_us: Micros | None = field(default=None, name="stepMicros")
    """Mean of its recent steady mini-batches, including waiting for input; absent before there is one."""
    mean_step_us: Micros | None = field(default=None, name="stepMicrosMean")
    """Mean of all its steady mini-batches."""
    model_us: Micros | None = field(default=None, name="modelMicros")
    """What the model took of the recent ones."""
    mean_model_us: Micros | None = field(default=None, name="modelMicrosMean")
    """What the model took of all of them."""
    warmup_us: Micros | None = field(default=None, name="warmupMicros")
    """W: its first mini-batch."""
    startup_us: Micros | None = field(default=None, name="startupMicros")
    """S: from the process's creation to its first mini-batch, without its wait for a plan."""
    start_parts: StartParts = field(default_factory=dict)
    """What S consists of, as far as it is over: import, load, images."""
    images_per_second: Annotated[float, Meta(ge=0, le=10**9)] | None = None
    """Rate over its recent mini-batches."""
    seconds_since_batch: Annotated[float, Meta(ge=0, le=10**9)] | None = None
    """Age of its last mini-batch at this answer, so that no two machines' clocks are compared; absent before one."""
    waits_for: StoreWait | None = None
    """The store that it waits for; absent while it waits for none."""
    input_wait: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Share of its steady time in which it waited for images; absent before there is a steady mini-batch."""
    observed_requests_per_second: Annotated[float, Meta(ge=0, le=10**9)] | None = None
    """Requests a second that the images' store gave when it refused more; absent if it never has."""
    leaving: bool = False
    """Whether it was told to stop, and goes when the part that it has open is in the sink."""
    parity: ParityCheck | None = None
    """How far its engine's first results are from plain PyTorch's; absent before its first mini-batch."""


# A worker that waits for images in more of its time is held up by them, and more devices don't help it.
HIGH_INPUT_WAIT = 0.2


def mean_input_wait(reports: Iterable[WorkerProgress]) -> float | None:
    """Return the share of the workers' steady time in which they waited for images; None if none has had a step."""
    steady = [
        (report.input_wait, (report.batches - 1) * report.mean_step_us)
        for report in reports
        if report.input_wait is not None and report.mean_step_us
    ]
    total_us = sum(time_us for _, time_us in steady)
    return sum(share * time_us for share, time_us in steady) / total_us if total_us else None


class WorkResult(LenientSpec, frozen=True, kw_only=True):
    """The last words of a work step that is done."""

    progress: WorkerProgress = WorkerProgress()
    """Its last progress."""
    engine: Word = ""
    """Engine."""
    mini_batch_size: Count = 0
    """Images in a mini-batch."""
    planned_batches: Count = 0
    """Mini-batches planned, the first one included."""
    seconds: Annotated[float, Meta(ge=0, le=10**10)] = 0
    """Age of the process."""
    peak_memory_mib: Count = field(default=0, name="peakMemoryMiB")
    """The most memory that it held."""


class IndexResult(LenientSpec, frozen=True, kw_only=True):
    """The last words of an index step that is done."""

    images: Annotated[int, Meta(ge=1, le=MAX_N)]
    """N."""
    digest: Word = ""
    """SHA-256 over the URIs in their order, each followed by a NUL."""
    fingerprint: Annotated[str, Meta(min_length=1, max_length=256)]
    """What the results depend on: index, weights, model, preprocessing, image size, precision."""
    classes: Count = 0
    """Classes that the model tells apart."""
    unlisted: Word = ""
    """Files in the source's folder that are no images by their endings, such as "3 .txt"."""
    input_cost: InputCost | None = None
    """What getting and decoding an image costs."""
    agreement: Agreement | None = None
    """How far the job's int8 network is from fp32; absent at other precisions, and where it was not measured."""
    note: Sentence = ""
    """How the images stand to those that the sink knew before, where it is added to."""
    part_size: Annotated[int, Meta(ge=1, le=MAX_N)] | None = None
    """The part size of a sink that was begun before; absent for a new one."""
    parts_there: PartsText = ""
    """Parts that are in that sink; of very many runs the longest."""


# Jobs that `_SUCCESS` names.
MAX_FINISHERS = 16


class FinishResult(LenientSpec, frozen=True, kw_only=True):
    """The last words of a finish step that is done; `_SUCCESS` holds those of every generation."""

    job: Word = ""
    """The job whose results these are."""
    images: Count = 0
    """N."""
    parts: Count = 0
    """Parts in the sink."""
    rows: Count
    """Rows in them."""
    errors: Count
    """Rows with an error."""
    warnings: Count = 0
    """Rows with a warning: of images that were classified although their files are faulty."""
    fingerprint: Word = ""
    """The job's fingerprint."""
    part_size: Count = 0
    """Images in a part. The names of the parts, and nothing else, follow from it, the images and what is below."""
    mark: Word = ""
    """What the names of the parts end with; empty: nothing."""
    generation: Count = 1
    """Which of the sink's generations it is."""
    first_image: Count = 0
    """Images of the generations before it."""
    replaced: Count = 0
    """Rows of these that its rows replace, since the images' files have changed."""
    finished_unix_micros: Annotated[int, Meta(ge=0, le=10**17)] = 0
    """When the rows were complete, in microseconds since 1970."""
    uids: Annotated[tuple[Word, ...], Meta(max_length=MAX_FINISHERS)] = ()
    """The InferenceJobs that have found them complete, the last ones: none of these may empty the sink any more."""


class ProfilingProgress(LenientSpec, frozen=True, kw_only=True):
    """What a profiling step's /progress shows."""

    doing: Sentence = ""
    """What it is measuring."""
    left_seconds: Annotated[int, Meta(ge=0, le=10**9)] | None = None
    """The most time that is left; absent before it is known."""


class ProfilingResult(LenientSpec, frozen=True, kw_only=True):
    """The last words of a profiling step that is done."""

    profile: Annotated[str, Meta(max_length=65_536)]
    """The profile, packed (dueby_api/packed_profile.py)."""


class StepError(LenientSpec, frozen=True, kw_only=True):
    """The last words of a step that failed."""

    error: Sentence = ""
    """What was wrong, in a sentence."""
    field: Word = ""
    """The field of the job that was wrong; empty if it was something else."""
    part_size: Annotated[int, Meta(ge=1, le=MAX_N)] | None = None
    """The part size of a sink that was begun with another than the worker was told; absent if that wasn't it."""
    parts_there: PartsText = ""
    """Parts that are in that sink; of very many runs the longest."""

    @property
    def sentence(self) -> str:
        """The error, after the field if there is one; empty if the step left no word."""
        return ": ".join(part for part in (self.field, self.error) if part)


class SinkParts(Spec, frozen=True, kw_only=True):
    """What a worker's /parts shows: the parts that are in the sink."""

    runs: Annotated[tuple[tuple[Count, Count], ...], Meta(max_length=MAX_RUNS)]
    """Runs of parts, each as its first part and the one after its last, ascending."""
