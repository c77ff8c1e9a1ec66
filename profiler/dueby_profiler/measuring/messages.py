"""The messages between the profiler and its measuring processes: one JSON object a line, `{"Kind": {...}}`.

    profiler                       measuring process
    Setup ────────────────────▶    imports, loads the model
    Build(size) ──────────────▶    builds the engine and its buffers       ──▶ Built
    StartSteps(limit) ────────▶    the first mini-batch, then steady steps ──▶ MeanKnown  (or out of time)
    StopSteps ────────────────▶    until here it keeps its cores busy      ──▶ Point
    Contend(moments) ─────────▶    decoding alone, model alone, both       ──▶ Contended
    MeasureDecoding(cores) ───▶    photos through so many cores, no model  ──▶ DecodingRates
    Agree(photos) ────────────▶    photos through the engine and plain fp32 ─▶ Agreed
    end of input ─────────────▶    leaves

Every process answers before any of them gets the next message, so that all slices of a layout do the same at the same
time. Times are microseconds of the machine's monotonic clock, which all processes share.
"""

import json
from typing import TypeVar, get_args

from dueby_api.agreement import Agreement
from dueby_api.engines import EngineName
from dueby_api.errors import DueByError
from dueby_api.inference_job import Model
from dueby_api.schema import Spec, validate
from dueby_api.source import Source


class Setup(Spec, frozen=True, kw_only=True):
    """What a process measures, and with what."""

    model: Model
    engine: EngineName
    threads: int
    cores: tuple[int, ...] | None = None
    cache_dir: str | None = None
    starts_empty: bool = False
    """Whether the first engine finds nothing in the cache, as that of a worker that has no volume for it."""
    spawned_us: int
    """When the process was started."""
    status_page: int | None = None
    """File descriptor of the page on which to report what it is doing, if a monitor watches."""


class Build(Spec, frozen=True, kw_only=True):
    """Build the engine of one mini-batch size."""

    size: int


class Built(Spec, frozen=True, kw_only=True):
    """The engine is ready and its buffers are filled."""

    size: int
    startup_us: int
    """From the start of the process until now."""
    build_us: int
    """The part of it that building the engine took."""


class StartSteps(Spec, frozen=True, kw_only=True):
    """Run the first mini-batch, then steady ones."""

    limit_us: int
    """Announce the mean after this long, even if it is not known well enough."""
    least_us: int = 0
    """Do not announce it before this long, or before so many steps."""
    least_steps: int = 0


class MeanKnown(Spec, frozen=True, kw_only=True):
    """The mean is known well enough, or the time is over. The process goes on until it is told to stop."""


class StopSteps(Spec, frozen=True, kw_only=True):
    """Stop and report."""


class Point(Spec, frozen=True, kw_only=True):
    """What one process measured at one size."""

    size: int
    warmup_us: int
    """The first mini-batch with this engine."""
    check_us: int
    """Comparing its result with plain fp32; 0 unless it was the first mini-batch of the process."""
    disagreement: str | None = None
    """What was wrong with the result, if anything."""
    started_us: int
    """Start of the first steady step."""
    ended_us: tuple[int, ...]
    """Ends of the steady steps; each began when the one before it ended."""
    peak_mib: int
    """Peak of the host's memory that the process took so far."""
    gpu_mib: int | None = None
    """Memory of its GPU that is in use, by anyone; absent on CPUs. PyTorch keeps what it took, so it is also a peak."""

    @property
    def device_mib(self) -> int:
        """Peak memory of the device that was measured."""
        return self.peak_mib if self.gpu_mib is None else self.gpu_mib


class Contend(Spec, frozen=True, kw_only=True):
    """Measure what decoding beside the model costs, in three phases that begin and end at these moments."""

    moments_us: tuple[int, int, int, int]
    folder: str
    """Where to write the images."""


class Contended(Spec, frozen=True, kw_only=True):
    """The times of the three phases."""

    decode_us: float
    """Core-time of decoding one image, with no model running."""
    model_us: float
    """A mini-batch with nothing to decode."""
    both_us: float
    """A mini-batch whose images are decoded beside it, as a worker does; on a GPU, one while all cores decode."""


class MeasureDecoding(Spec, frozen=True, kw_only=True):
    """Measure what a worker makes of its cores: with a decoder that does nothing, then with each number of cores."""

    cores: tuple[int, ...]
    begin_us: int
    phase_us: int
    """How long each of the phases takes."""
    folder: str
    """Where to write the images."""

    @property
    def ends_us(self) -> list[int]:
        return [self.begin_us + number * self.phase_us for number in range(1, len(self.cores) + 2)]


class DecodingRates(Spec, frozen=True, kw_only=True):
    """The time of an image by the clock, in each phase."""

    serial_us: float
    """With a decoder that does nothing."""
    cores: tuple[int, ...]
    decoded_us: tuple[float, ...]
    """With so many cores each."""


class Agree(Spec, frozen=True, kw_only=True):
    """Compare the engine with plain fp32 on photos."""

    source: Source
    """Where the photos come from."""
    folder: str
    """Folder with the source's list, as the index step freezes one."""
    images: int
    """Images in the list."""
    digest: str
    """Digest of the list, by which photos are drawn."""
    most: int
    """Take no more photos than this."""
    limit_us: int
    """Take no more of them after this long."""


class Agreed(Spec, frozen=True, kw_only=True):
    """How far they agree."""

    agreement: Agreement | None = None
    """Absent if none of the photos could be read."""


class NoMemory(Spec, frozen=True, kw_only=True):
    """An allocation failed. The process is of no further use."""

    size: int


class Failed(Spec, frozen=True, kw_only=True):
    """The model or engine is not available: the user's fault, explained in a sentence."""

    field: str
    message: str


Measured = Built | MeanKnown | Point | Contended | DecodingRates | Agreed
Message = Setup | Build | StartSteps | StopSteps | Contend | MeasureDecoding | Agree | Measured | NoMemory | Failed
_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}
Kind = TypeVar("Kind")


def write_message(message: Message) -> str:
    return json.dumps({type(message).__name__: message.document()}) + "\n"


def read_message(line: str) -> Message:
    """Return the line's message; raise Invalid if it is none."""
    document = json.loads(line)
    kind, body = next(iter(document.items()))
    return validate(_KINDS[kind], body)


def expect(message: Message, kind: type[Kind]) -> Kind:
    """Return the message, which must be of this kind; anything else is a bug in one of the two programs."""
    if not isinstance(message, kind):
        raise DueByError(f"expected {kind.__name__}, but got {message}")
    return message
