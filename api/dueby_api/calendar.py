"""The calendar of several jobs as documents spell it: what `dueby plan -o json` prints for more than one job, and with
`--cluster`.

Inside the program it is dueby_planner.schedule.calendar.Calendar, which dueby/planned_calendar.py turns into
this, and nothing else does. In a cluster it is what the operator decides (dueby_operator/preview/answer.py).
"""

from dueby_api.plan import CostByCause
from dueby_api.schema import LenientSpec, field
from dueby_api.status import WindowStatus
from dueby_api.units import parse_time_us, seconds


class PlannedWindow(LenientSpec, frozen=True, kw_only=True):
    """Devices that a job holds from one time to another, each with a worker that runs without interruption."""

    device_class: str
    """Device class."""
    engine: str
    """Engine that runs the model on them."""
    from_seconds: float = field(name="from")
    """When the workers are started, from now."""
    to_seconds: float = field(name="to")
    """When the devices are free again, from now."""
    count: int
    """Number of devices."""
    mini_batch_size: int
    """Images in a mini-batch."""
    images: int
    """What these devices do together, at the job's confidence."""
    pool: str | None = None
    """The pool that is asked for nodes with them when the window begins; null: they are there."""


def planned_window(window: WindowStatus, *, now_us: int) -> PlannedWindow:
    """Return what a job's status says is reserved for it, counted from now, which is in microseconds since 1970."""
    return PlannedWindow(
        device_class=window.device_class,
        engine=window.engine,
        from_seconds=seconds(parse_time_us(window.from_time) - now_us),
        to_seconds=seconds(parse_time_us(window.to_time) - now_us),
        count=window.count,
        mini_batch_size=window.mini_batch_size,
        images=window.images,
        pool=window.pool,
    )


class PlannedJob(LenientSpec, frozen=True, kw_only=True):
    """What is done with one job. Times count from now."""

    name: str
    """Name of the job."""
    deadline_class: str
    """Its deadline class."""
    action: str
    """Start, Reserve, Hold, StartLate, Refuse or Wait."""
    gpus: int | None = None
    """Devices at most at once; null if it has none."""
    lower_bound: int | None = None
    """No fewer devices can do it, on the whole pool alone; null: no number can."""
    probability: float | None = None
    """Probability of being in time."""
    expected_seconds: float | None = None
    """When to expect the end."""
    slack_seconds: float | None = None
    """The deadline less the finish at the confidence; negative if it is late."""
    starts: int | None = None
    """Workers that are started."""
    gpu_seconds: float | None = None
    """How long devices are held, added up over all of them."""
    windows: tuple[PlannedWindow, ...] = ()
    """What it holds."""


class PlannedPool(LenientSpec, frozen=True, kw_only=True):
    """The devices of a class."""

    device_class: str
    """Device class."""
    devices: int
    """How many there are."""
    peak: int
    """How many are held at most at once."""
    pool: str | None = None
    """The pool that could have them; null: they are there, or come and go."""


class PlannedCut(LenientSpec, frozen=True, kw_only=True):
    """Why a Hard job is refused: it and others need more device time than there is."""

    jobs: tuple[str, ...]
    """Their names, by deadline."""
    until: float
    """The last deadline among them, in seconds from now."""
    needed_gpu_seconds: float = field(name="neededGpuSeconds")
    """Device time that they take at least."""
    available_gpu_seconds: float = field(name="availableGpuSeconds")
    """Device time that there is for them until then."""
    sentence: str
    """The same in words, and what would help."""


class CalendarAnswer(LenientSpec, frozen=True, kw_only=True):
    """All jobs on one pool."""

    feasible: bool
    """Whether every Hard job is placed."""
    proof: str
    """Calendar if they are, Cut if one is refused by a cut, NoScheduleFound otherwise."""
    jobs: tuple[PlannedJob, ...]
    """In the order in which they were given."""
    pool: tuple[PlannedPool, ...]
    """The devices."""
    cut: PlannedCut | None = None
    """The proof of a refusal."""
    warnings: tuple[str, ...] = ()
    """What makes the plan less sure than it looks."""


class PreviewedJob(PlannedJob, frozen=True, kw_only=True):
    """What the operator would do with a job that was created in its cluster now."""

    namespace: str
    """Where it would be."""
    deadline_seconds: float
    """Its deadline."""
    message: str
    """What its status would say, in a sentence; empty if nothing."""
    cost: CostByCause | None = None
    """What it is expected to cost; null without prices, if the price of a class isn't known, or if it has no plan."""


class ClusterAnswer(LenientSpec, frozen=True, kw_only=True):
    """Jobs that aren't there yet, beside all that are in a cluster."""

    feasible: bool
    """Whether every Hard job is placed, and none is refused."""
    jobs: tuple[PreviewedJob, ...]
    """In the order in which they were given."""
    pool: tuple[PlannedPool, ...]
    """The classes of their devices: how many the cluster has, and how many these jobs hold at most at once."""
    assumptions: tuple[str, ...]
    """What could not be read, and what counts instead, in sentences."""
    warnings: tuple[str, ...] = ()
    """What makes the plans less sure than they look."""
