"""What the profiler and its measuring processes say to each other: one JSON object a line, `{"verb": {...}}`.

    profiler                      measuring process
    setup ────────────────────▶   imports, loads the model
    build(size) ──────────────▶   builds the engine and a buffer          ──▶ built
    go(limit) ────────────────▶   the first mini-batch, then steady steps ──▶ known  (mean known, or out of time)
    stop ─────────────────────▶   until here it keeps its cores busy      ──▶ point
    contend(moments) ─────────▶   decoding alone, model alone, both       ──▶ contended
    end of input ─────────────▶   leaves

Every process answers before any is told the next thing, so that all of a layout's slices do the same at the same time.
Times are microseconds of the machine's monotonic clock, which all processes share.
"""

import json
from typing import TypeVar

from dueby_api.engines import EngineName
from dueby_api.errors import DueByError
from dueby_api.inference_job import Model
from dueby_api.schema import Spec, validate


class Setup(Spec, frozen=True, kw_only=True):
    """What a process measures, and where."""

    model: Model
    engine: EngineName
    threads: int
    cores: tuple[int, ...] | None = None
    cache_dir: str | None = None
    spawned_us: int
    """When the process was started."""
    board: int | None = None
    """Descriptor of the page on which it says what it does, where a monitor watches."""


class Build(Spec, frozen=True, kw_only=True):
    """Make the engine of one mini-batch size."""

    size: int


class Built(Spec, frozen=True, kw_only=True):
    """The engine is ready and its buffer filled."""

    size: int
    startup_us: int
    """From the start of the process until now."""
    build_us: int
    """What building it took."""


class Go(Spec, frozen=True, kw_only=True):
    """Run mini-batches."""

    limit_us: int
    """At most for this long."""


class Known(Spec, frozen=True, kw_only=True):
    """The mean is known well enough, or the time is over. The process goes on until it is told to stop."""

    steps: int


class Stop(Spec, frozen=True, kw_only=True):
    """Enough."""


class Point(Spec, frozen=True, kw_only=True):
    """What one process measured at one size."""

    size: int
    warmup_us: int
    """The first mini-batch with this engine."""
    check_us: int
    """Comparing its result with plain fp32, where it was the first of the process."""
    disagreement: str | None = None
    """What was wrong with it."""
    started_us: int
    """Start of the first steady step."""
    ended_us: tuple[int, ...]
    """Ends of the steady steps; each began when the one before it ended."""
    peak_mib: int
    """Peak memory of the process so far."""


class Contend(Spec, frozen=True, kw_only=True):
    """Measure what decoding beside the model costs, in three phases that begin and end at these moments."""

    moments_us: tuple[int, int, int, int]
    folder: str
    """Where to put the pictures."""


class Contended(Spec, frozen=True, kw_only=True):
    """The three times."""

    decode_us: float
    """Core-time of decoding one picture, with no model running."""
    model_us: float
    """A mini-batch, with nothing to decode."""
    both_us: float
    """A mini-batch with its pictures decoded beside it, as a worker does."""


class NoMemory(Spec, frozen=True, kw_only=True):
    """An allocation failed; the process is of no further use."""

    size: int


class Failed(Spec, frozen=True, kw_only=True):
    """The model or engine can't be had: the user's fault, in a sentence."""

    field: str
    message: str


Message = Setup | Build | Built | Go | Known | Stop | Point | Contend | Contended | NoMemory | Failed
_KINDS: dict[str, type[Message]] = {
    "setup": Setup,
    "build": Build,
    "built": Built,
    "go": Go,
    "known": Known,
    "stop": Stop,
    "point": Point,
    "contend": Contend,
    "contended": Contended,
    "noMemory": NoMemory,
    "failed": Failed,
}
_VERBS = {kind: verb for verb, kind in _KINDS.items()}
Kind = TypeVar("Kind")


def write_message(message: Message) -> str:
    """The message as a line."""
    return json.dumps({_VERBS[type(message)]: message.document()}) + "\n"


def read_message(line: str) -> Message:
    """The line as a message; Invalid where it is none."""
    document = json.loads(line)
    verb, body = next(iter(document.items()))
    return validate(_KINDS[verb], body)


def expect(message: Message, kind: type[Kind]) -> Kind:
    """The message, which must be of this kind; anything else is a bug in one of the two programs."""
    if not isinstance(message, kind):
        raise DueByError(f"expected {kind.__name__}, but got {message}")
    return message
